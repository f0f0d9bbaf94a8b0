from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnx import TensorProto, helper

from models.errors import ModelFileMissing, ProviderError
from models.session import open_session

if TYPE_CHECKING:
    from pathlib import Path


def doubling() -> bytes:
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "doubling",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
    )
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    network.ir_version = 8
    content: bytes = network.SerializeToString()
    return content


def test_a_network_runs_on_the_processor_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "doubling.onnx"
    path.write_bytes(doubling())
    for source in (path, doubling()):
        session = open_session(source)
        assert (session.provider, session.threads) == ("CPUExecutionProvider", 1)
        assert (session.input_names, session.output_names) == (("x",), ("y",))
        assert session.input_shapes == (("n", 2),)
        (result,) = session.run({"x": np.array([[1, 2]], np.float32)})
        assert result.tolist() == [[2.0, 4.0]]


def test_threads_are_bounded_and_do_not_spin() -> None:
    session = open_session(doubling(), threads=2)
    options = session._session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert options.get_session_config_entry("session.inter_op.allow_spinning") == "0"


@pytest.mark.parametrize("threads", [0, 3, -1])
def test_more_threads_than_two_are_refused(threads: int) -> None:
    with pytest.raises(ValueError, match="1 to 2"):
        open_session(doubling(), threads=threads)


def test_a_provider_that_is_absent_is_an_error_and_never_a_fall_back() -> None:
    with pytest.raises(ProviderError, match="CUDAExecutionProvider"):
        open_session(doubling(), providers=("CUDAExecutionProvider", "CPUExecutionProvider"))
    with pytest.raises(ProviderError, match="provider"):
        open_session(doubling(), providers=())


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileMissing, match=r"absent\.onnx"):
        open_session(tmp_path / "absent.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a network")
    with pytest.raises(ProviderError, match=r"broken\.onnx"):
        open_session(broken)
