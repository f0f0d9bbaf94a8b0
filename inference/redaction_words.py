"""The words that redaction stands on: what announces, counts, corrects or ends personal content.

All in lower case and composed (NFC). Names and places are in `inference.lexicon`.
"""

from __future__ import annotations

from typing import Final

from inference.phrases import PhraseBook


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NUMBER_CUES: Final = PhraseBook(
    """
căn cước / cước công dân / cccd / chứng minh / cmnd / chứng minh thư / định danh / điện thoại / số máy /
số phone / sđt / zalo / di động / liên lạc / hồ sơ số / mã hồ sơ / số hồ sơ / mã số / biên nhận / số
phiếu hẹn / giấy hẹn số / biển số / biển xe / bảng số / tài khoản / số thuế / bảo hiểm / số thẻ / thẻ số
/ hộ khẩu số / hộ chiếu / passport / số đuôi / đuôi số / số cuối / quyển số / số sổ / sổ đỏ số / sổ hồng
số / mã vạch / mã bưu gửi / mã bưu / số của / bằng lái số / số tôi / số em / số chị / số anh / số gọi /
số nhà em / sim / hot lai / số seri / seri / mã đơn / mã tra cứu / mã biên / giấy phép số / đăng ký số /
khai sinh số / số khai sinh / quyển số / khai tử số / kết hôn số / cước / thẻ đuôi / stk / biển / biển
kiểm soát / biển xanh / trích lục số / số vào sổ / vào sổ / hợp đồng số / số hợp đồng / hợp đồng điện /
phiếu hẹn / giấy phép kinh doanh số / bằng lái / mã đặt lịch / mã xác nhận / mã ô tê pê / otp / mã giao
dịch / mã bệnh nhân / mã bưu phẩm / vận đơn / số phát hành / phát hành / giấy phép xây dựng số / số giấy
phép / giấy phép lái xe / giấy khai sinh số / số quyết định / đơn của em mã / em mã / của tôi mã / số
cuối là / ba số cuối / hai số cuối / bốn số cuối / số con / số cháu / số bác / số chú / số mẹ / số ông /
số bà / nhập số / sổ hộ khẩu số / sổ đỏ / sổ hồng / giấy chứng nhận / thẻ bảo hiểm / mã tra / chiếc xe /
xe máy / ô tô / số dế / số zalo / sổ số / số xe / đăng ký xe / thẻ ngân hàng / mã vận đơn / số biên / số
seri / giấy biên nhận / số nớ / quyển / hồ sơ mã / số mới là / số nữa là / số sau là / số đầu là / số
giữa là / số còn lại / mã / tra mã / mã là / mã số doanh nghiệp / mã hẹn / mã xác thực / số phiếu /
phiếu thu /
mã bưu điện / số lưu
    """
)
"""Phrases after which even a short number names a person or a dossier."""
CUE_FILLERS: Final = _words(
    """
là của tôi em anh chị cháu con bác cô chú ông bà mình tui thì số cũ mới đây nè này ạ à ờ dạ vâng có đọc
cho ghi nhé nha chồng vợ mẹ bố ba má công dân thư nhân đầu mà ở trên đó kia cái nó bắt bằng máy thoại
điện hai ngành ừ ừm hộ giùm với giúp hồ sơ gia đình xe bảo hiểm tế xã hội y gửi phép seri loại gái trai
út rể dâu nội ngoại thằng đứa nhân ngân hàng đuôi nhớ hình như chắc dùng thường hay gắn chíp thẻ trên
giấy kinh doanh số má mạ cụ dì cậu mợ thím o mệ bé trợ nhận lương hưu cấp xanh trắng vàng tải con chíp
bàn riêng cơ quan mã vợ phone bên ngành tử điện vào ghi gồm
    """
)
UNITS: Final = _words(
    """
tiếng phút giây giờ ngày tháng tuần lần người đồng bản tờ bộ cái tuổi phần mét thước cây cân ký lô đứa
thằng bữa hôm buổi lượt chỗ nơi cửa quầy loại thứ chuyến năm vòng trang chữ dòng ghế con căn mảnh lô
thửa hecta héc sào công nghìn ngàn triệu vé điểm sao giấy km cây mươi
    """
)
"""What a counted quantity is followed by; a count is evidence, not identity."""
BIRTH_SKIP: Final = _words(
    """
ra năm ngày tháng vào là từ thành lại đúng sai sửa ghi của tôi em anh chị cháu con bác cô chú ông bà
mùng mồng thì nó đứa mình tui bé
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
INSTEAD: Final = _words("thành sang")
"""Words between a date, or a name, and the one that takes its place."""
DATE_WORDS: Final = _words(
    """
    ngày tháng năm mùng mồng giêng chạp rằm không
    """
)

HOUSE: Final = PhraseBook("số nhà / nhà số / nhà ở số")
ADDRESS_NOUNS: Final = PhraseBook(
    """
tổ dân phố / khu phố / khu dân cư / khu đô thị / chung cư / căn hộ / tòa nhà / thành phố / thị xã / thị
trấn / đường / phố / ngõ / ngách / hẻm / kiệt / xóm / thôn / ấp / buôn / phường / xã / quận / huyện /
phum / phum sóc / khu công nghiệp / cụm công nghiệp / khu kinh tế / khu tập thể / tiểu khu /
tỉnh / tổ / tòa / đặc khu / hợp tác xã / xứ / khu vực / thị tứ / khóm / khối / làng / bản / lô / đội /
quốc lộ / tỉnh lộ / lộ / đại lộ
    """
)
ADDRESS_SAID: Final = PhraseBook("địa chỉ / địa chỉ là / địa chỉ nhà / nhà ở / nhà tôi / nhà em / nhà tui")
"""Words after which a number with a street is a house, said without "số"."""
ADDRESS_ANCHORS: Final = PhraseBook(
    """
địa chỉ / thường trú / tạm trú / cư trú / hộ khẩu / quê / quê quán / nguyên quán / nhà / ở / sống / ngụ
/ tại / trú / sinh sống / chuyển về / chuyển đến / thuộc / dọn về / trọ / mua nhà / miếng đất / thửa đất
/ từ / về / chuyển khẩu / giao tới / giao về
    """
)
ADDRESS_STOP: Final = _words(
    """
tí photo gốc chính chuyện mạ này đó kia ấy mình tôi em nhà ta là có thì đi về lên xuống đến qua lại xa
gần hội tắc hỏng xấu đẹp khác nào đâu cũng không mà rồi ạ à nhé nha ơi đã đang sẽ được bị làm cho và với
để cấp chức giềng quê táo trưởng phó ủy công chính sao thôi lắm quá đông thật nữa nên vì chưa hay mới cũ
muốn cần xin nộp lấy hỏi gì bộ dân phiên trực tư vừa chứ hướng dẫn nói bảo cán cả các mấy nhiều trên
dưới trong ngoài ngay luôn toàn vẫn còn cứ hết người hồ giấy sổ sinh tên số gọi điện chồng vợ con mẹ bố
dạ vâng chị anh bác cô cháu chú ông bà mai nay hôm hàng lớn nhỏ to hoài suốt sạch kêu chỉ biểu phải ở
bên vừa tầng lầu thì hông
    """
)
PLACE_ENDS: Final = _words(
    """
này đó kia ấy mình ở về lên xuống đến và với của là nhà em tôi anh chị từ qua nào rồi mà thì có không
lại cũng nên để cho phải tới bị được đã đang sẽ chưa cả mấy các bảo nói
    """
)
NOT_PLACES: Final = PhraseBook(
    """
đường xá / phố xá / phố phường / xã hội / tổ chức / tổ trưởng / tổ công tác / bản sao / bản chính / bản
thân / bản photo / đội ngũ / làng nước / khối lượng / xóm giềng / tỉnh táo / đường dây / lô hội / bản vẽ
/ bản gốc / bản đồ / tòa án / đường bộ / đường đi / bản khai / khu vực chờ / khu vực này / khu vực một /
khu vực ngồi / khu vực nào / khu vực đó / khu vực để / khu vực hai / khu vực tiếp / xã nông thôn / thôn
mới / xã hội hóa / tỉnh lẻ / phố đi bộ / bản tin / bản mềm / bản giấy / đường vành đai / đường dân sinh
/ đội nắng / đội mưa / đội ơn / đội sổ / đội mũ / đội trưởng / đội viên
    """
)
"""Words that begin like a part of an address and are none."""
EMAIL_AT: Final = PhraseBook(
    """
    a còng / a móc / a vòng / a gòng / a cong / a mõm / at / @ / a còn / à còng
    """
)
AGENCIES: Final = PhraseBook(
    """
ủy ban / ủy ban nhân dân / công an / hội / hội nông dân / hội phụ nữ / đoàn / trạm y tế / y tế / trường
/ trường học / tiểu học / trung học / mầm non / bảo hiểm xã hội / xã hội / trung tâm / hành chính công /
phục vụ hành chính công / hành chính / tòa án / bưu điện / chợ / chi cục / chi cục thuế / thuế / đảng ủy
/ một cửa / nhà văn hóa / văn hóa / cán bộ / công chức / chủ tịch / hội đồng / quân sự / tư pháp / địa
chính / bộ phận / sở / phòng / cấp / bí thư / trưởng công an / đội / tòa / nhân dân / viện / bệnh viện /
kho bạc / hàng / nhà hàng
    """
)
"""What a place belongs to when it names an office and not a home."""
HOME_WORDS: Final = PhraseBook(
    """
quê / quê ở / quê quán / quê tôi / quê tui / quê em / quê con / quê cháu / quê ở tận / dân / người / gốc
/ ở / từ / về / ngụ / tận / sống ở / quê tôi ở / quê tui ở / quê em ở / hộ khẩu / ngoài / dưới / chuyển
về / nguyên quán / thường trú / tôi quê / em quê
    """
)
"""What stands right before the name of a province when it is somebody's home."""
DOCUMENTS: Final = _words("giấy sổ thẻ phiếu bằng hợp trích chứng án đơn quyết")
"""Kinds of paper; a number after "số" that follows one of them shortly is the paper's own."""
MONEY: Final = _words("đồng vnđ vnd bạc đô usd tiền")
MAGNITUDE_ENDS: Final = _words("nghìn ngàn triệu chiệu tỷ tỉ vạn k rưỡi rưởi")
"""A number that ends with one of these is an amount, even after a cue."""
LAW_CUES: Final = PhraseBook(
    """
nghị định / nghị định số / thông tư / thông tư số / luật / luật số / điều / khoản / điểm / mẫu / mẫu số
/ mẫu đơn / mẫu đơn số / công văn / công văn số / nghị quyết / nghị quyết số / tờ khai / biểu mẫu / theo
quyết định / chỉ thị / quầy / quầy số / cửa số / phòng / phòng số / số thứ tự / lấy số / bốc số / bàn số
/ mẫu cờ tê / tờ khai cờ tê / mẫu cờ cờ / tờ khai cờ cờ / mẫu tê ca / mẫu hát ka / biểu mẫu hát ka /
theo luật / quyết định số / quyết định
    """
)
NUMBER_SIGNS: Final = _words("cộng đúp kép")
"""Words that begin a number read aloud: "cộng tám tư", "đúp không"."""
CODE_SIGNS: Final = _words("xẹt xuyệt gạch ngang trên")
DOUBTS: Final = _words(
    """
à ạ ờ ừ ừm ơ í ý ý dạ vâng không phải nhầm rồi xin lỗi quên đợi chờ chút tí tý xíu gì nữa nhỉ nhở hỉ
hình như là chứ mới đúng tiếp theo tới đến thì để em tôi con bác coi xem nhớ lại mấy ấy cuối đầu số với
hoặc hay ghi sai sửa đó nhé nha chẳng kế đọc thêm nghe tui cháu đã còn phẩy chấm gạch xong thưa cô chú
anh chị hả hử ủa khoan đọc nè này nốt lộn trật nói trời hổng hông
    """
)
"""Hesitations, doubts and corrections between the pieces of one number."""
CORRECTIONS: Final = _words("à ạ ờ ừ ừm ơ í ý dạ vâng không hông hổng phải nhầm lộn trật rồi ủa chẳng")
"""The ones that say nothing else: between two pieces they go with the number."""
EMAIL_STOP: Final = _words(
    """
là mail email meo imeo gmail thư địa chỉ vào vô qua gửi cho tôi em anh chị con của hộp ghi này dạ vâng
theo tới đến thì nhé
    """
)
EMAIL_DOMAIN: Final = _words(
    """
gmail gờ gi g meo mail yahoo da hu outlook hotmail icloud chấm com cơm vn org edu net vi en vê nờ gov
gốp
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
