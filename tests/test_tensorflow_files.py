"""Reading TensorFlow's checkpoints without it. The files are those that TensorFlow 2.21 wrote for these variables."""

import base64

import numpy as np
import pytest
import torch

from model.common.errors import InputError
from model.common.tensorflow_files import read_checkpoint
from model.tools import convert_whitebox

INDEX = base64.b64decode(
    "AAAGCAEaAggBABUPZ2VuZXJhdG9yL0NvbnYvYmlhc2VzCAESBBICCAIoCDU9M8j0Dwcdd2VpZ2h0cwgBEhASAggBEgIIARICCAMSAggCIAgoGD"
    "WEL4tADgkRXzEvYmlhc2VzCAESBBICCAEgICgENaZ7EToPCBEyL2JpYXNlcwgBEgQSAggCICQoCDUOHU8eDwgRMy9iaWFzZXMIARIEEgIIAyAs"
    "KAw16QlQPwoUEWJsb2NrXzAvY29udjEvYmlhc2VzCAESBBICCAEgOCgENV/Pi7UBCg1sb2JhbF9zdGVwCAkSACA8KAg1YoDR7AAGDXNjYWxhcg"
    "gBEgAgRCgENQfYdQ0AAAAAAQAAAACooq/6AAAAAAEAAAAAwPKhsAABA3QAjAIAAAAAAQAAAADHNlrMkQIIngIPAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAFf7gIskdUfb"
)
DATA = base64.b64decode(
    "AADAPwAAAMB4zOE/aOHMPpOOej/Lag9AJAzvP+Iuer8AAAAAAAAAAAAAgD8AAAAAAACAPwAAAEAAAOBAz4QAAAAAAAAAACBA"
)
ENDINGS = ".index", ".data-00000-of-00001"


@pytest.fixture
def checkpoint(tmp_path):
    for ending, contents in zip(ENDINGS, (INDEX, DATA), strict=True):
        (tmp_path / f"model-1{ending}").write_bytes(contents)
    return tmp_path / "model-1"


@pytest.mark.parametrize("ending", ["", *ENDINGS])
def test_names_shapes_and_numbers_are_those_that_were_written(checkpoint, ending):
    found = read_checkpoint(f"{checkpoint}{ending}", "a checkpoint")
    kernel = np.random.RandomState(0).randn(1, 1, 3, 2).astype(np.float32)
    assert (found["generator/Conv/weights"] == kernel).all()
    assert found["generator/Conv/biases"].tolist() == [1.5, -2]
    assert [found[f"generator/Conv_{k}/biases"].tolist() for k in (1, 2, 3)] == [[0], [0, 1], [0, 1, 2]]
    assert found["generator/block_0/conv1/biases"].tolist() == [7]
    assert found["global_step"] == 33999 and found["scalar"] == 2.5 and len(found) == 8


@pytest.mark.parametrize("place", range(0, len(INDEX), 3))
def test_a_damaged_index_gives_other_arrays_or_one_sentence(checkpoint, place):
    damaged = bytearray(INDEX)
    damaged[place] ^= 0x9D
    checkpoint.with_name("model-1.index").write_bytes(damaged)
    try:
        read_checkpoint(checkpoint, "a checkpoint")
    except InputError as error:
        assert "model-1" in str(error) and "\n" not in str(error)


@pytest.mark.parametrize("size", [0, 7, 60, 200, len(INDEX) - 1])
def test_an_index_that_is_cut_off_is_one_sentence(checkpoint, size):
    checkpoint.with_name("model-1.index").write_bytes(INDEX[:size])
    with pytest.raises(InputError, match="model-1.index is not a checkpoint"):
        read_checkpoint(checkpoint, "a checkpoint")


def test_short_data_and_missing_files_are_told(checkpoint, call, capsys, tmp_path):
    data = checkpoint.with_name("model-1.data-00000-of-00001")
    data.write_bytes(DATA[:20])
    with pytest.raises(InputError, match="of another size"):
        read_checkpoint(checkpoint, "a checkpoint")
    data.unlink()
    assert call(convert_whitebox.main, checkpoint, "--out", tmp_path / "out.pt") == 2
    assert "model-1.data-00000-of-00001 does not exist" in capsys.readouterr().err
    assert call(convert_whitebox.main, "--out", tmp_path / "out.pt") == 2
    data.write_bytes(DATA)
    assert call(convert_whitebox.main, checkpoint, "--out", tmp_path / "out.pt") == 2
    message = capsys.readouterr().err
    assert "first.weight" in message and "White-box" in message and not (tmp_path / "out.pt").exists()


def test_a_whole_network_is_converted_and_the_optimiser_left_behind(monkeypatch, tmp_path):
    from model import checkpoints
    from model.whitebox import Whitebox
    from tests.test_translation_networks import tensorflow_weights

    network = Whitebox()
    arrays = {name: value.numpy() for name, value in tensorflow_weights(network).items()}
    arrays |= {"generator/Conv/weights/Adam": np.zeros(3, np.float32), "beta1_power": np.float32(0.5)}
    monkeypatch.setattr("model.common.tensorflow_files.read_checkpoint", lambda path, expected: arrays)
    convert_whitebox.convert("model-33999", tmp_path / "whitebox.pt")
    found = checkpoints.load_whitebox(tmp_path / "whitebox.pt").state_dict()
    assert all(torch.equal(value, found[name]) for name, value in network.state_dict().items())
