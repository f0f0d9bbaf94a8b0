"""The word lists that redaction stands on: cues, surnames, given names, address words.

All in lower case and composed (NFC). Lists hold syllables unless they say phrases.
"""

from __future__ import annotations

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _phrases(text: str) -> tuple[tuple[str, ...], ...]:
    found = [tuple(line.split()) for line in text.split("/")]
    return tuple(sorted((phrase for phrase in found if phrase), key=len, reverse=True))


NUMBER_CUES: Final = _phrases(
    """
căn cước / cước công dân / cccd / chứng minh / cmnd / chứng minh thư / định danh / điện thoại / số máy /
số phone / sđt / zalo / di động / liên lạc / hồ sơ số / mã hồ sơ / số hồ sơ / mã số / biên nhận / số
phiếu hẹn / giấy hẹn số / biển số / biển xe / bảng số / tài khoản / số thuế / bảo hiểm / số thẻ / thẻ số
/ hộ khẩu số / hộ chiếu / passport / số đuôi / đuôi số / số cuối / quyển số / số sổ / sổ đỏ số / sổ hồng
số / mã vạch / mã bưu gửi / mã bưu / số của / bằng lái số / số tôi / số em / số chị / số anh / gọi số /
số nhà em / sim / hot lai / số seri / seri / mã đơn / mã tra cứu / mã biên / giấy phép số / đăng ký số /
khai sinh số / số khai sinh / quyển số / khai tử số / kết hôn số
"""
)
"""Phrases after which even a short number names a person or a dossier."""
CUE_FILLERS: Final = _words(
    """
là của tôi em anh chị cháu con bác cô chú ông bà mình tui thì số cũ mới đây nè này ạ à ờ dạ vâng có đọc
cho ghi nhé nha chồng vợ mẹ bố ba má công dân thư nhân đầu mà ở trên đó kia cái nó bắt bằng máy thoại
điện hai ngành ừ ừm hộ giùm với giúp hồ sơ gia đình xe bảo hiểm tế xã hội y gửi phép seri loại
"""
)
UNITS: Final = _words(
    """
tiếng phút giây giờ ngày tháng tuần lần người đồng bản tờ bộ cái tuổi phần mét thước cây cân ký lô đứa
thằng bữa hôm buổi lượt chỗ nơi cửa quầy loại thứ chuyến năm vòng trang chữ dòng ghế con căn mảnh lô thửa
hecta héc sào công nghìn ngàn triệu vé điểm sao giấy km cây mươi
"""
)
"""What a counted quantity is followed by; a count is evidence, not identity."""
BIRTH_SKIP: Final = _words(
    """
ra năm ngày tháng vào là của tôi em anh chị cháu con bác cô chú ông bà mùng mồng thì nó đứa mình tui bé
hôm nhật âm dương
"""
)
NOT_BIRTH_BEFORE: Final = _words(
    """
khai học vệ phát thí hộ hy tái ký nữ sát bẩm hoc giáo song
"""
)
NOT_BIRTH_AFTER: Final = _words(
    """
viên hoạt sản sống lý vật học trắc động nở đẻ thiết tố
"""
)
DATE_WORDS: Final = _words(
    """
ngày tháng năm mùng mồng giêng chạp
"""
)

SURNAMES: Final = _words(
    """
nguyễn nguyện trần phạm huỳnh phan vũ võ đặng bùi ngô hoàng đinh trịnh đoàn lâm phùng mạc tống triệu châu
khổng diệp nghiêm giáp vương doãn thạch danh giàng sùng lò quàng tẩn vừ ksor rơ ya niê hờ kpă siu rmah
tòng cầm quách kiều
"""
)
"""Surnames that stand for themselves where a given name follows."""
WEAK_SURNAMES: Final = _words(
    """
lê hồ đỗ dương lý mai cao hà thái lương đào tô tạ chu từ kim la văn viên đàm đồng ninh tôn bạch bế nông
hứa cù phí thiều trương lưu ma lã đậu
"""
)
"""Surnames that are ordinary words; they need a cue or a middle name."""
MIDDLES: Final = _words(
    """
thế văn thị hữu đình công quốc đức ngọc xuân thanh minh quang hoàng thế trọng bá viết như gia kim mạnh
tuấn duy bảo phúc khánh thùy thúy thu
"""
)
GIVEN: Final = _words(
    """
an anh ánh ân bảo bích bình cảnh châu chi chiến chinh cúc cường dân diễm diệp diệu dung dũng duy duyên
dương đại đăng đạt điệp định đông đức giang hà hải hạnh hằng hân hảo hậu hiền hiếu hiệp hoa hòa hoàn
hoàng hồng huân huệ hùng huy huyền hưng hương hường hữu khải khang khánh khoa khôi kiên kiệt kiều lam lan
lâm lệ liên liễu linh loan long lộc luân lực lương ly mạnh mẫn mận mây minh mỹ my nam nga ngân nghĩa ngọc
nguyên nguyệt nhã nhân nhật nhi nhung như oanh phát phi phong phú phúc phước phương phượng quân quang quế
quốc quy quý quyên quyền quyết quỳnh sang sáng sinh sơn sương tài tâm tân thạch thái thanh thành thảo
thắm thắng thân thi thiên thiện thịnh thọ thoa thông thơ thu thuận thục thủy thúy thùy thư thương tiên
tiến tín toàn toản trâm trân trang tráng trí triều trinh trọng trung trúc trường tú tuân tuấn tuệ tùng
tuyên tuyền tuyết tuyến tường tý út uyên vân văn vi viên việt vinh vĩnh vũ vui vượng vy xuân yên yến ý
thoại thêm tư năm ba bảy tám chín mười mai cúc đào lài thị bé tèo
"""
)
SURE_GIVEN: Final = _words(
    """
tuấn lan hương hùng dũng nga thảo trang huyền phượng oanh hằng hường loan nhung quỳnh cường thúy thùy
thủy hạnh trâm vân yến tuyết hiếu quân tùng khánh ngân quyên trinh diễm hòa phương huy duy khoa kiên đạt
vinh hưng hà giang dung nguyệt huệ liên mỹ uyên thư thắng toàn trung sơn long nam linh ngọc phúc phước
khang bích châu
"""
)
"""Given names that follow a title without being another word."""
TITLES: Final = _words(
    """
anh chị cô chú bác ông bà cậu thầy cháu em thằng con
"""
)
NAME_CUES: Final = _phrases(
    """
tên tôi là / tên em là / tên anh là / tên chị là / tên cháu là / tên con là / tên mình là / tên bác là /
tên cô là / tên đầy đủ là / tên tui là / tên chồng tôi là / tên vợ tôi là / tên khai sinh là / họ và tên
là / họ tên là / họ tên / họ và tên / tên là / tên gọi là / tên thật là / tôi tên / em tên / cháu tên /
con tên / mình tên / chị tên / anh tên / bác tên / bà tên / ông tên / cô tên / chú tên / tui tên / bé tên
/ vợ tên / chồng tên / mẹ tên / bố tên / đứng tên / ghi tên / mang tên / ký tên là / tên cháu / tên mẹ /
tên bố / tên cha / tên vợ / tên chồng / tên bé / nó tên / tên chồng là / tên vợ là / tên mẹ là / tên bố
là / tên ba là / tên má là / tên cha là / tên con là / tên bé là / tên ông là / tên bà là / tên nó là /
họ tên chồng / họ tên vợ / họ tên mẹ / họ tên bố
"""
)
CALLED_CUES: Final = _phrases(
    """
tôi là / em là / cháu là / con là / mình là / tui là / gặp / hỏi / tìm / nhờ / của / cho / với / là / gửi
/ bạn / vợ / chồng / mẹ / bố / cha / con / thay
"""
)
"""Words after which a surname or a sure given name is a person."""
NAME_STOP: Final = _words(
    """
một cửa tôi em anh chị cháu bác cô chú ông bà mình tui là của và với ở tại nhà sinh số đến đi làm muốn
cần xin nộp lấy hỏi có không thì mà đã đang sẽ rồi ạ à nhé nha ơi này đó kia đây trong trên dưới cho để
ra vào lên về hồ giấy căn địa năm ngày tháng chứ nữa cũng nhưng nên vì bị được còn hôm nay mai bên chưa
hay hoặc người trú quê hộ thường tạm dạ vâng nè hen nghen cái xong chữ sai nhầm đúng gọi điện khai đăng
sao thôn xã phường đường tổ ấp như gì ai chủ con vợ chồng mẹ bố cha má ba thửa sổ đứng ký ghi tên họ lót
đệm viết thế vậy từ theo luôn nghe hướng dẫn tư giúp nói bảo nhận trả tiếp cán nhân phải
"""
)

STREET: Final = _words(
    """
đường phố ngõ ngách hẻm kiệt xóm thôn ấp bản làng buôn sóc phường xã quận huyện tỉnh tổ đội khóm khối
chung tòa lô xứ
"""
)
ADDRESS_NOUNS: Final = _phrases(
    """
số nhà / nhà số / tổ dân phố / khu phố / khu dân cư / khu đô thị / chung cư / căn hộ / tòa nhà / thành
phố / thị xã / thị trấn / đường / phố / ngõ / ngách / hẻm / kiệt / xóm / thôn / ấp / buôn / phường / xã /
quận / huyện / tỉnh / tổ / khóm / khối / làng / bản / lô / đội / quốc lộ / tỉnh lộ
"""
)
ADDRESS_ANCHORS: Final = _phrases(
    """
địa chỉ / thường trú / tạm trú / cư trú / hộ khẩu / quê / quê quán / nguyên quán / nhà / ở / sống / ngụ /
tại / trú / sinh sống / chuyển về / chuyển đến / thuộc / dọn về / trọ / mua nhà / miếng đất / thửa đất /
từ
"""
)
ADDRESS_STOP: Final = _words(
    """
tí photo gốc chính chuyện mạ này đó kia ấy mình tôi em nhà ta là có thì đi về lên xuống đến qua lại xa
gần hội tắc hỏng xấu đẹp khác nào đâu cũng không mà rồi ạ à nhé nha ơi đã đang sẽ được bị làm cho và với
để cấp chức xá giềng quê táo trưởng phó ủy công chính sao thôi lắm quá đông thật nữa nên vì chưa hay mới
cũ muốn cần xin nộp lấy hỏi gì bộ dân phiên trực tư vừa chứ hướng dẫn nói bảo cán cả các mấy nhiều trên
dưới trong ngoài ngay luôn toàn vẫn còn cứ hết người hồ giấy sổ sinh tên số gọi điện chồng vợ con mẹ bố
dạ vâng chị anh bác cô cháu chú ông bà mai nay hôm hàng lớn nhỏ to hoài suốt sạch kêu chỉ biểu phải ở
"""
)
EMAIL_AT: Final = _phrases(
    """
a còng / a móc / a vòng / a gòng / a cong / a mõm / at
"""
)
EMAIL_STOP: Final = _words(
    """
là mail email meo imeo gmail thư địa chỉ vào qua gửi cho tôi em anh chị của hộp ghi này dạ vâng theo
"""
)
EMAIL_DOMAIN: Final = _words(
    """
gmail gờ meo mail yahoo da hu outlook hotmail icloud chấm com cơm vn org edu net vi en
"""
)
LONG_PLACES: Final = _phrases(
    """
nam từ liêm / bắc từ liêm / hai bà trưng / bà rịa vũng tàu / thừa thiên huế / hồ chí minh / buôn ma thuột
/ phan rang tháp chàm / bình hưng hòa / tân sơn nhì / hiệp bình chánh
"""
)
SOFT_STOP: Final = _words(
    """
đông hàng tây lớn nhỏ trung trực công bảo
"""
)
"""Words that end an address unless they begin the name of a place inside one."""
LUNAR: Final = _words(
    """
giêng chạp
"""
)
COMPOUNDS: Final = frozenset(
    _phrases(
        """
hương dẫn / thảo luận / thảo nào / long đong / hà nội / hà tĩnh / hà giang / hà nam / nam định / nam giới
/ trung tâm / trung thực / trung bình / phương án / phương tiện / liên hệ / liên lạc / liên tục / liên
quan / khoa học / kiên nhẫn / kiên trì / hùng hổ / hùng hục / duy trì / duy nhất / huy động / đạt được /
hòa nhã / hòa giải / trang trọng / trang web / ngọc hồi / nga ngố / linh hoạt / linh động / linh tinh /
vinh dự / sơn la / phúc đáp / ngân hàng / long an / giang hồ / cường điệu / quân đội / hưng yên / hạnh
phúc / bích họa / thư ký / thư giãn / thư từ / toàn bộ / toàn nói / toàn bị / toàn phải / toàn là / toàn
đi / toàn bắt / tùng lâm / thúy nga / châu thành / phước long
"""
    )
)
"""Two-syllable words that begin like a given name; no person follows a title there."""
