import pytest

from inference.spoken_numbers import find_runs


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("không chín một hai ba bốn năm sáu bảy tám", ["0912345678"]),
        ("ba mươi mốt", ["31"]),
        ("hai mươi", ["20"]),
        ("hăm mốt", ["21"]),
        ("mười lăm", ["15"]),
        ("hai trăm linh năm", ["205"]),
        ("hai trăm lẻ năm", ["205"]),
        ("một trăm hai mươi ba", ["123"]),
        ("năm trăm", ["500"]),
        ("không chín ba số tám hai một", ["093821"]),
        ("ba bốn lần rồi chín giờ", ["34", "9"]),
        ("0912 345 678", ["0912345678"]),
        ("cảm ơn em", []),
    ],
)
def test_digits_heard(text: str, digits: list[str]) -> None:
    assert [run.digits for run in find_runs(text.split())] == digits


@pytest.mark.parametrize(
    ("text", "amount"), [("năm mươi nghìn", True), ("hai triệu rưỡi", True), ("năm mươi", False)]
)
def test_magnitudes_make_an_amount(text: str, *, amount: bool) -> None:
    (run,) = find_runs(text.split())
    assert run.amount is amount
    assert (run.start, run.end) == (0, len(text.split()))


@pytest.mark.parametrize(
    "text",
    [
        "không chín một hai ờ ba bốn năm sáu",
        "không chín một hái ba bốn năm sáu",
        "hai chín a một hai ba bốn năm",
    ],
)
def test_pauses_letters_and_wrong_tones_do_not_break_a_number(text: str) -> None:
    (run,) = find_runs(text.split())
    assert run.end == len(text.split())


def test_nothing_gives_nothing() -> None:
    assert find_runs(()) == ()
