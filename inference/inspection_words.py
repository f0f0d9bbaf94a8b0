"""The words on pictures of an inspected session, in Vietnamese and English."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from inference.inspection import Occasion, Sight

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inference.anonymizer import Doubt
    from inference.camera_view import CameraTrouble
    from inference.face_quality import Rejection


@dataclass(frozen=True, slots=True)
class Words:
    """One language. Attributes are named by what they say."""

    citizen: str
    other: str
    bystander: str
    seat: str
    calls: str
    valence: str
    positive: str
    negative: str
    neutral: str
    own_start: str
    start: str
    end: str
    reading: str
    mean: str
    band: str
    refused: str
    second_face: str
    speech: str
    camera: str
    time: str
    no_picture: str
    no_reading: str
    timeline: str
    timeline_told: str
    tracks: str
    pictures: str
    picture_told: str
    not_calibrated: str
    sights: Mapping[Sight, str]
    occasions: Mapping[Occasion, str]
    rejections: Mapping[str, str]
    doubts: Mapping[str, str]
    troubles: Mapping[str, str]

    def of_rejection(self, rejection: Rejection) -> str:
        """Return why a face was not read; its code where this language has no word for it yet."""
        return self.rejections.get(rejection.value, rejection.value.replace("_", " "))

    def of_doubt(self, doubt: Doubt) -> str:
        """Return why a whole picture is covered; its code where this language has no word for it yet."""
        return self.doubts.get(doubt.value, doubt.value.replace("_", " "))

    def of_trouble(self, trouble: CameraTrouble | None) -> str:
        """Return what is wrong with a camera; None stands for no picture at all."""
        if trouble is None:
            return self.no_picture
        return self.troubles.get(trouble.value, trouble.value)


_EN: Final = Words(
    citizen="citizen",
    other="other at the seat",
    bystander="bystander",
    seat="seat",
    calls="read {} times",
    valence="valence",
    positive="positive",
    negative="negative",
    neutral="neutral",
    own_start="own start",
    start="start",
    end="end",
    reading="one reading",
    mean="5 s mean",
    band="90 % band",
    refused="not read",
    second_face="second face",
    speech="citizen speaks",
    camera="camera trouble",
    time="time from the start, min:s",
    no_picture="no picture",
    no_reading="No face was read in this session.",
    timeline="Valence of the citizen's face over time",
    timeline_told=(
        "{readings} readings of the face from {first} to {last}; mean valence {mean:+.2f}. {refusals} faces "
        "were not read, {utterances} utterances were heard. The numbers are in the table timeline.csv."
    ),
    tracks="Faces that were followed",
    pictures="Pictures of the session",
    picture_told="{occasion} at {at}: {sight}. {faces} faces, {seated} at the seat.",
    not_calibrated="uncalibrated signal: what a face shows, not how satisfied anybody is",
    sights=MappingProxyType(
        {
            Sight.NOBODY: "nobody at the seat",
            Sight.READ: "citizen read",
            Sight.REFUSED: "not read",
            Sight.SECOND_FACE: "second face at the seat, nobody is read",
            Sight.HELD: "at the seat, not read",
        }
    ),
    occasions=MappingProxyType(
        {
            Occasion.START: "start",
            Occasion.CHANGE: "change",
            Occasion.PASSING: "time passed",
            Occasion.END: "end",
        }
    ),
    rejections=MappingProxyType(
        {
            "too_small": "too small",
            "cut_off": "cut off",
            "not_frontal": "not frontal",
            "too_dark": "too dark",
            "too_bright": "too bright",
            "flat": "no contrast",
            "blurred": "blurred",
            "turned_away": "turned away",
            "bent": "bent",
            "mouth_covered": "mouth covered",
            "camera": "camera does not see",
        }
    ),
    doubts=MappingProxyType(
        {
            "never_detected": "all covered: nothing detected yet",
            "detector_late": "all covered: detection is late",
            "detector_failed": "all covered: detection failed",
            "too_many_faces": "all covered: too many faces",
            "motion_without_face": "all covered: motion without a face",
        }
    ),
    troubles=MappingProxyType(
        {
            "covered": "covered",
            "dark": "too dark",
            "bright": "too bright",
            "defocused": "blurred",
            "frozen": "frozen",
            "moved": "moved",
        }
    ),
)

_VI: Final = Words(
    citizen="người dân",
    other="người khác tại ghế",
    bystander="người ngoài",
    seat="ghế",
    calls="đọc {} lần",
    valence="sắc thái",
    positive="tích cực",
    negative="tiêu cực",
    neutral="trung tính",
    own_start="lúc đầu của chính họ",
    start="đầu",
    end="cuối",
    reading="một lần đọc",
    mean="trung bình 5 giây",
    band="dải 90 %",
    refused="không đọc",
    second_face="khuôn mặt thứ hai",
    speech="người dân nói",
    camera="camera trục trặc",
    time="thời gian từ lúc bắt đầu, phút:giây",
    no_picture="không có hình",
    no_reading="Không khuôn mặt nào được đọc trong phiên này.",
    timeline="Sắc thái khuôn mặt người dân theo thời gian",
    timeline_told=(
        "{readings} lần đọc khuôn mặt từ {first} đến {last}; sắc thái trung bình {mean:+.2f}. {refusals} lần "
        "không đọc, {utterances} câu nói được nghe. Số liệu nằm trong bảng timeline.csv."
    ),
    tracks="Các khuôn mặt được theo dõi",
    pictures="Hình ảnh của phiên",
    picture_told="{occasion} lúc {at}: {sight}. {faces} khuôn mặt, {seated} tại ghế.",
    not_calibrated="tín hiệu chưa hiệu chuẩn: nét mặt biểu lộ, không phải mức hài lòng",
    sights=MappingProxyType(
        {
            Sight.NOBODY: "không có ai tại ghế",
            Sight.READ: "đã đọc người dân",
            Sight.REFUSED: "không đọc",
            Sight.SECOND_FACE: "có khuôn mặt thứ hai tại ghế, không đọc ai",
            Sight.HELD: "có người tại ghế, không đọc",
        }
    ),
    occasions=MappingProxyType(
        {
            Occasion.START: "bắt đầu",
            Occasion.CHANGE: "thay đổi",
            Occasion.PASSING: "định kỳ",
            Occasion.END: "kết thúc",
        }
    ),
    rejections=MappingProxyType(
        {
            "too_small": "quá nhỏ",
            "cut_off": "bị cắt",
            "not_frontal": "không chính diện",
            "too_dark": "quá tối",
            "too_bright": "quá sáng",
            "flat": "thiếu tương phản",
            "blurred": "bị mờ",
            "turned_away": "quay đi",
            "bent": "cúi hoặc ngửa",
            "mouth_covered": "che miệng",
            "camera": "máy quay không nhìn thấy",
        }
    ),
    doubts=MappingProxyType(
        {
            "never_detected": "che toàn bộ: chưa phát hiện gì",
            "detector_late": "che toàn bộ: phát hiện chậm",
            "detector_failed": "che toàn bộ: phát hiện lỗi",
            "too_many_faces": "che toàn bộ: quá nhiều khuôn mặt",
            "motion_without_face": "che toàn bộ: có chuyển động không rõ khuôn mặt",
        }
    ),
    troubles=MappingProxyType(
        {
            "covered": "bị che",
            "dark": "quá tối",
            "bright": "quá sáng",
            "defocused": "mất nét",
            "frozen": "đứng hình",
            "moved": "bị xê dịch",
        }
    ),
)

LANGUAGES: Final[Mapping[str, Words]] = MappingProxyType({"vi": _VI, "en": _EN})
"""The languages by their codes."""
