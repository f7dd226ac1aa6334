/** Loads pictures from files: upright, at the file's resolution. */

import { UserError } from '../errors.js';

/**
 * @typedef {import('../preprocess.js').Picture} Picture
 * @typedef {{name: string, bitmap: ImageBitmap, pixels: Picture}} Shown
 */

/** The longest side that every browser's canvas supports. */
const MAX_SIDE = 8192;

/**
 * Decodes a picture and applies its EXIF orientation, but no colour profile, like the Python runtime. Unlike there, transparent
 * pixels lose their colour, since a canvas premultiplies it by alpha.
 *
 * @param {Blob} blob @param {string} name @returns {Promise<Shown>}
 * @throws {UserError} it is not a picture, or too large.
 */
export async function loadPicture(blob, name) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, {
      colorSpaceConversion: 'none',
      premultiplyAlpha: 'none',
      imageOrientation: 'from-image',
    });
  } catch (error) {
    throw new UserError(`${name} is not a picture that this browser reads; give a PNG, JPEG or WebP`, error);
  }
  const { width, height } = bitmap;
  if (Math.max(width, height) > MAX_SIDE)
    throw new UserError(`${name} has ${width} x ${height} pixels; shrink it to at most ${MAX_SIDE} per side`);
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  if (!context) throw new UserError('this browser gives no canvas to read pictures with');
  context.drawImage(bitmap, 0, 0);
  return { name, bitmap, pixels: context.getImageData(0, 0, width, height) };
}
