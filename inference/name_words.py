"""The words around names of persons: titles, introductions, and words that end a name."""

from __future__ import annotations

from typing import Final

from inference.phrases import PhraseBook


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TITLES: Final = PhraseBook(
    """
anh / chị / cô / chú / bác / ông / bà / cậu / thầy / cháu / em / thằng / con / dì / dượng / mợ / thím /
o / mệ / cụ / bé / bạn / cô giáo / thầy giáo / bác sĩ / luật sư / cán bộ / chủ tịch / phó chủ tịch / bí
thư / tổ trưởng / trưởng thôn / trưởng ấp / trưởng bản / giám đốc / sếp / đồng chí / má / mẹ / bố / cha
/ vợ / chồng / con gái / con trai / em trai / em gái / chị gái / anh trai / hai vợ chồng / vợ chồng /
bên bán là / bên mua là / con rể / con dâu / anh rể / chị dâu / con bác / con ông / con bà / con cô /
con chú / con anh / con chị / cháu bé / cháu ngoại / cháu nội / mời / cảm ơn / con ba / con má / con mẹ
/ con bố / đại tá / thiếu tá / trung tá / thượng tá / đại úy / thượng úy / trung úy / thiếu úy / kỹ sư /
hiệu trưởng / trưởng phòng / phó phòng / nhân viên / chuyên viên / công chức / viên chức / công an /
công chứng viên / thẩm phán / phó thôn / kế toán
    """
)
"""Words after which a given name stands by itself."""
TONELESS_SURNAMES: Final = _words(
    "nguyen tran pham huynh hoang dang bui le vo vu phan do ngo dinh truong duong ly trinh"
)
TONELESS_MIDDLES: Final = _words("van thi dinh huu")
"""Names that a recogniser or a keyboard left without their marks."""
BIRTH_RANKS: Final = _words("út bé")
KIN_TITLES: Final = _words("anh chị cô chú bác ông bà cậu dì dượng mợ thím o")
"""Titles that take an order of birth for a name: "chú năm"."""
ROLES: Final = _words(
    """
tôi em anh chị cháu con bác cô chú ông bà mình tui nó bé cậu dì dượng mợ thím o mệ cụ chồng vợ mẹ bố ba
má mạ cha bạn gái trai út rể dâu nội ngoại ruột đứa lớn nhỏ đầu hai thằng nhà lai bên bán mua
    """
)
"""Whom a name may belong to: "tên con gái tôi là"."""
NAME_NOUNS: Final = PhraseBook(
    """
tên / họ tên / họ và tên / tên đầy đủ / tên khai sinh / tên thật / tên cũ / tên mới / tên gọi / tên đúng
/ tên cúng cơm / tên ở nhà / tên thánh / tên tiếng việt / tên nước ngoài / tên người nước ngoài / tên trong
giấy khai sinh / tên trong căn cước / tên khai sai / tên thường gọi / tên chủ hộ / chủ hộ / tên chủ đất /
người đứng tên / tên từ / họ từ / đệm / chữ đệm / tên đệm / tên lót / chữ lót / đứng tên / ghi tên /
mang tên / ký tên / gọi tên / tên người nhận / tên họ / quý danh /
họ
    """
)
PERSON_COPULAS: Final = PhraseBook(
    """
tôi là / em là / cháu là / con là / mình là / tui là / chồng tôi là / vợ tôi là / mẹ tôi là / bố tôi là
/ ba tôi là / anh ấy là / cô ấy là / chị ấy là / ông ấy là / bà ấy là / chồng em là / vợ em là / mẹ em
là / bố em là / người nhận là / người nhận thay là / người làm chứng là / người giám hộ là / đại diện là
/ người đại diện là / bên bán là / bên mua là / gọi tôi là / gọi em là / gọi cháu là / gọi con là / con
rể tôi là / con dâu tôi là / em trai tôi là / em gái tôi là / anh trai tôi là / ba tui là / má tui là /
chồng tui là / vợ tui là / chồng con là / mẹ con là / con lớn là / con nhỏ là / bạn em là / bạn tôi là /
bố là / mẹ là / ba là / má là / chồng là / vợ là / con gái tôi là / con trai tôi là / con gái em là /
con trai em là / tên là / ghi nhầm thành / ghi sai thành / thành / phải là / đổi thành / cháu bé là / bé
là / người mất là / chủ cũ là / giám đốc là / ông ngoại tôi là / bà ngoại tôi là / mẹ cháu là / bố cháu
là / mạ tui là / mẹ chồng em là / người được ủy quyền là / người ủy quyền là / hay gọi là / thường gọi
là / vẫn gọi là / tên trong hộ chiếu là / tên trên thẻ là / tên sai là
/ tên đúng là / mẹ nuôi cháu là / chị là / anh là / bác là / chú là / cô là / bà là / ông là / người yêu
em là / bạn con là / người nộp là / chủ đất là / chủ hộ là / chủ sổ là / nhân chứng là / họ là
    """
)
"""Words after which a person is named."""
INTRODUCTIONS: Final = PhraseBook(
    """
gặp / hỏi / tìm / nhờ / của / cho / với / gửi / thay / và / là / tên / họ / bởi / do / từ / kêu / mời /
con / hồ sơ / người / nộp thay / ông xã / bà xã / chồng / vợ / anh em
    """
)
"""Words after which a surname that is an ordinary word is a person's."""
FILLERS: Final = _words("là dạ thì à ờ ừ ừm ạ vâng")
NAME_STOP: Final = _words(
    """
một cửa tôi em anh chị cháu bác cô chú ông bà mình tui là của và với ở tại nhà sinh số đến đi làm muốn
cần xin nộp lấy hỏi có không thì mà đã đang sẽ rồi ạ à nhé nha ơi này đó kia đây trong trên dưới cho để
ra vào lên về hồ giấy căn địa năm ngày tháng chứ nữa cũng nhưng nên vì bị được còn hôm nay mai bên chưa
hay hoặc người trú quê hộ thường tạm dạ vâng nè hen nghen cái xong chữ sai nhầm đúng gọi điện khai đăng
sao thôn xã phường đường tổ ấp như gì ai chủ con vợ chồng mẹ bố cha má ba thửa sổ đứng ký ghi tên họ lót
đệm viết thế vậy từ theo luôn nghe hướng dẫn tư giúp nói bảo nhận trả tiếp cán nhân phải trước sau giờ ờ
ừ thôi nhiều quá lắm phòng giới hẹn dặn ngồi kêu mới cũ vừa vô qua nhen nghe mất dân tộc gì trưởng lại
mang đưa in đóng quầy khỏi chỉ biết quên hả hông hổng cùng trung hết đều khó dễ rất mấy các những ngân

    """
)
"""Words that end a name unless they stand where only a name can be."""
NO_NAME_AFTER_TITLE: Final = _words("""
ngoan sang hợp phát quyết khá đông sáng tí mơ thương
    """)
"""Given names that are a verb or an adjective so often that only the end or a stop word makes them a name."""
NOT_FIRST: Final = _words("chung riêng thế")
"""Words after "tên" that begin no name: "đứng tên chung"."""
TRAITS: Final = _words(
    "đông thương sáng thu hiền thành mai thân mơ phát hợp tươi xinh ngoan khá sang nết khiết"
)
"""Given names that after "em", "con", "cháu" are a trait or a deed more often than a name."""
ENDINGS: Final = _words("ạ ơi nhé nha nè nói bảo dặn hẹn")
CLOSERS: Final = _words(
    """
ạ ơi nhé nha nè đây đó ấy này kia hôm ở bên con và với còn nói bảo dặn hẹn kêu hướng nhận làm tiếp chỉ
giúp ký in đóng vừa đang đã sẽ rất ngồi có là phòng địa phụ trách xem đưa trả cũng người năm sinh số nhà
quê họ em chị anh cháu tôi tui mới gọi đi không dân thôi nghen hen vợ chồng mẹ bố ba má trưởng tổ phó bà
ông chủ thôn xóm ấp trả chữ viết thì mà ngồi hồi sáng chiều hôm quầy ngồi cửa
    """
)
"""Words after which a given name that could be another word is a name."""
AFTER_FULL_NAME: Final = _words("à ạ ơi nhé nha nè sinh là mẹ bố và với trú quê đây")
"""Words that seldom stand right after anything but the end of a full name."""
SELDOM_SURNAMES: Final = _words(
    "từ lại viên đồng cao phó quản sử tiền phương trang danh yên hạ chung hoàn tất thường tưởng ứng thân phí"
)
"""Surnames that are another word so often that a middle and a given name after them do not decide."""
COMPOUND_ENDS: Final = PhraseBook(
    "nhân viên / thành viên / sinh viên / học viên / giáo viên / chuyên viên / công viên / hội viên"
)
"""Words whose end is a surname too and is none in them."""
RENAMED: Final = PhraseBook("tên từ / họ từ / đệm từ / lót từ")
"""Words between which and "thành" or "sang" an old name stands."""
ASKED: Final = _words("gặp nhờ do gửi mời tìm hỏi")
"""Words after which a name of two syllables stands without a title: "gặp lan anh"."""
SAYING: Final = _words("bảo nói dặn hẹn kêu hướng")
"""What somebody does who was just named by title and given name: "anh trình bảo"."""
MEETING: Final = PhraseBook(
    """
nhờ / gặp / gửi / cảm ơn / thay / hỏi / mời / tìm / vừa nãy / hôm qua / hôm trước / lúc nãy / theo /
giao cho
    """
)
"""Words before a title after which a person is met, not addressed: "nhờ anh trực"."""
NOT_CALLED: Final = _words(
    """
hay đang đã sẽ cũng chắc thêm cả có lại cứ vẫn tin tính đều chính học được thật ý mới tự không chưa còn đừng
chỉ tiếp ghi phải cần đi đến sang thường giao điền
    """
)
"""Syllables of given names that after a title are a verb or an adverb whatever follows."""
COUNTED: Final = _words(
    "nay ngoái đứa sau trước tuổi lần bữa bận lượt mươi trăm nghìn ngàn vợ bên đời anh chị mẹ bố ông bà"
)
"""After an order of birth these make it a number: "năm nay", "hai đứa"."""
