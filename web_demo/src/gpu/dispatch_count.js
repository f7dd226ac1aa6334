/** Counts the compute programs dispatched to the GPU: a run without a dispatch did not happen on the GPU. */
export class DispatchCount {
  total = 0;

  constructor() {
    const count = () => {
      this.total += 1;
    };
    const prototype = /** @type {Record<string, any>} */ (/** @type {unknown} */ (GPUComputePassEncoder.prototype));
    for (const method of ['dispatchWorkgroups', 'dispatchWorkgroupsIndirect']) {
      const original = prototype[method];
      /** @this {GPUComputePassEncoder} @param {...unknown} rest */
      prototype[method] = function counted(...rest) {
        count();
        return original.apply(this, rest);
      };
    }
  }
}
