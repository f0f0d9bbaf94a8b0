"""What face-api publishes: quantised weights, and the pieces of graphs that we lay them into."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
from onnx import helper, numpy_helper

from models.errors import ConversionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_OPSET: Final = 17
_IR: Final = 8
_REMEDY: Final = "Fetch @vladmandic/face-api 1.7.15 again."


def model_folder(package: Path) -> Path:
    """Return the folder of weights in an unpacked `@vladmandic/face-api` package, or the folder itself."""
    return package / "model" if (package / "model").is_dir() else package


def read_weights(folder: Path, name: str) -> dict[str, NDArray[np.float32]]:
    """Read one network's manifest and turn its shards' bytes back to float32.

    Args:
        folder: The package's `model` folder.
        name: The network's name there, such as `face_expression_model`.

    Raises:
        ConversionError: Files are missing or not what the reader knows.
    """
    manifest = folder / f"{name}-weights_manifest.json"
    try:
        groups = json.loads(manifest.read_text(encoding="utf-8"))
        weights: dict[str, NDArray[np.float32]] = {}
        for group in groups:
            shard = b"".join((folder / path).read_bytes() for path in group["paths"])
            position = 0
            for entry in group["weights"]:
                weights[entry["name"]], position = _tensor(entry, shard, position)
            if position != len(shard):
                raise ConversionError(
                    f"{manifest} describes {position} bytes but its shard has {len(shard)}. {_REMEDY}"
                )
    except OSError as error:
        raise ConversionError(
            f"{name} of face-api is not in {folder}: {error}. "
            "Fetch it with 'npm pack @vladmandic/face-api@1.7.15' and unpack it."
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise ConversionError(
            f"{manifest} is not a weight manifest that can be read ({error!r}). {_REMEDY}"
        ) from error
    return weights


def _tensor(entry: Mapping[str, Any], shard: bytes, position: int) -> tuple[NDArray[np.float32], int]:
    """Read one tensor of a shard and return it with the position behind it."""
    count = int(np.prod(entry["shape"]))
    quantised = entry.get("quantization")
    if quantised is None:
        values = np.frombuffer(shard, "<f4", count, position)
        return values.astype(np.float32).reshape(entry["shape"]), position + 4 * count
    if quantised["dtype"] != "uint8":
        msg = f"weights quantised to {quantised['dtype']}"
        raise ValueError(msg)
    steps = np.frombuffer(shard, np.uint8, count, position).astype(np.float32)
    values = steps * np.float32(quantised["scale"]) + np.float32(quantised["min"])
    return values.astype(np.float32).reshape(entry["shape"]), position + count


class GraphBuilder:
    """Collects nodes and weights of a graph, naming results in order."""

    def __init__(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Start with no node."""
        self._weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: list[onnx.TensorProto] = []

    def weight(self, name: str) -> NDArray[np.float32]:
        """Return a published weight.

        Raises:
            ConversionError: The package's network has none of that name.
        """
        try:
            return self._weights[name]
        except KeyError:
            raise ConversionError(
                f"The weights hold no '{name}': this is not the network of face-api 1.7.15. {_REMEDY}"
            ) from None

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """Add a constant and return its name."""
        self.initialisers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:  # noqa: ANN401 - ONNX attributes
        """Add a node and return the name of its result."""
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def convolution(
        self,
        source: str,
        name: str,
        filters: NDArray[np.float32],
        bias: str | None,
        *,
        stride: int,
        groups: int = 1,
    ) -> str:
        """Add a convolution with TensorFlow's 'same' padding (filters: height, width, in, out)."""
        size = filters.shape[0]
        inputs = [source, self.constant(f"{name}.filters", filters.transpose(3, 2, 0, 1))]
        if bias is not None:
            inputs.append(self.constant(f"{name}.bias", self.weight(bias)))
        return self.node(
            "Conv",
            inputs,
            name,
            kernel_shape=[size, size],
            strides=[stride, stride],
            auto_pad="SAME_UPPER",
            group=groups,
        )

    def separable(self, source: str, name: str, stride: int) -> str:
        """Add a depthwise 3 x 3 convolution followed by a pointwise one."""
        depthwise = self.weight(f"{name}/depthwise_filter")
        channels = depthwise.shape[2]
        spread = self.convolution(
            source, f"{name}.depthwise", depthwise.transpose(0, 1, 3, 2), None, stride=stride, groups=channels
        )
        return self.convolution(
            spread, f"{name}.pointwise", self.weight(f"{name}/pointwise_filter"), f"{name}/bias", stride=1
        )

    def network(
        self, name: str, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
    ) -> bytes:
        """Close the graph; the bytes depend on names and weights alone, so their hash can be pinned."""
        graph = helper.make_graph(self.nodes, name, inputs, outputs, self.initialisers)
        network = helper.make_model(
            graph, producer_name="hailong", opset_imports=[helper.make_opsetid("", _OPSET)]
        )
        network.ir_version = _IR
        onnx.checker.check_model(network, full_check=True)
        serialised: bytes = network.SerializeToString(deterministic=True)
        return serialised
