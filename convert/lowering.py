"""From a rewritten part of the detector to a .tflite file.

litert-torch does the conversion. Around it, this module gives the signature's tensors their real names, and every tensor of the
file a name that leads back to the PyTorch module and the rewrites that made it.
"""

from __future__ import annotations

import copy
import logging
from pathlib import Path

import torch
from torch import Tensor, fx

from convert.quiet import quiet
from graphs.partition import Part
from host_runtime.interrupt import in_thread
from rewrites.base import module_of


def lower(part: Part, inputs: dict[str, Tensor], path: Path) -> None:
    """Write ``part`` as a float32 .tflite file.

    Args:
        part: a part whose graph has been through ``rewrites.pipeline.IN_EACH_GRAPH``.
        inputs: one example tensor per input name; shapes are static.
        path: file to write.

    The signature ``serving_default`` has the part's input and output names. Tensors are named
    ``MODULE|REWRITES|_NODE;N``: the dotted module path, the rewrites joined by ``+``, and the node of the rewritten graph.
    """
    with quiet():
        import litert_torch
    logging.getLogger("litert_torch").setLevel(logging.ERROR)
    litert_torch.config.show_progress = False  # on standard output, even after the command has been interrupted
    module = _named(part).eval()
    sample = {name: inputs[name] for name in part.input_names}

    def convert() -> bytes:
        with quiet(), torch.no_grad():
            content: bytes = litert_torch.convert(module, sample_kwargs=sample).model_content()
        return content

    # Not with the library's own writer: on a full disk that ends the process, without a word and past every clean-up.
    path.write_bytes(in_thread(convert))


def _named(part: Part) -> fx.GraphModule:
    """A copy of the part that returns its outputs by name and whose nodes carry their origin as debug information."""
    module = copy.deepcopy(part.graph_module)
    for node in module.graph.nodes:
        if node.op == "call_function":
            origin = f"{module_of(node)}|{'+'.join(dict.fromkeys(node.meta.get('rewrites', ())))}|"
            node.meta["nn_module_stack"] = {"origin": (node.name, origin)}
    output = next(node for node in module.graph.nodes if node.op == "output")
    output.args = (dict(zip(part.output_names, output.args[0], strict=True)),)
    module.recompile()
    return module
