"""Words that weigh: what speakers of Vietnamese praise and blame with, and what turns it round.

Phrases of one to five syllables, written by us for counters and for services at
large. They are features of the text model, not its verdict: the weights are fitted.
"""

from __future__ import annotations

from typing import Final


def _phrases(text: str) -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(entry.split()) for entry in text.replace("\n", " ").split(",") if entry.strip())


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


POSITIVE: Final = _phrases("""
tốt, hay, tuyệt, tuyệt vời, xuất sắc, hoàn hảo, nhanh, lẹ, mau, gọn, nhanh gọn, nhanh chóng, nhanh nhẹn,
đơn giản, thuận tiện, tiện, tiện lợi, rõ ràng, dễ hiểu, dễ dàng, dễ, khoa học, hiện đại, sạch, sạch sẽ,
thoáng, thoáng mát, mát mẻ, rộng rãi, hợp lý, đầy đủ, đủ, chính xác, chất lượng, hiệu quả, tiến bộ,
chuyên nghiệp, đúng hẹn, đúng giờ, minh bạch, công khai, khang trang, thoải mái, đáng khen, khen, đẹp,
mượt, linh hoạt, chuẩn, ổn, ổn thỏa, ngon, rẻ, phải chăng, nhiệt tình, vui vẻ, lịch sự, niềm nở, dễ
thương, chu đáo, tận tình, hòa nhã, thân thiện, nhẹ nhàng, tử tế, ân cần, cởi mở, tận tâm, lễ phép, dễ
gần, kiên nhẫn, có tâm, tâm huyết, chân thành, công tâm, công bằng, đúng mực, giỏi, trách nhiệm, tâm lý,
dễ mến, hoạt bát, hài lòng, vui, mừng, yên tâm, an tâm, thích, yêu thích, ưng, ưng ý, ưng bụng, phấn
khởi, cảm kích, khoái, mãn nguyện, biết ơn, tin tưởng, cảm ơn, cám ơn, đội ơn, quý, quý hóa, phục, khâm
phục, sướng, hạnh phúc, đáng tin, tin cậy, bổ ích, hữu ích, thú vị, hấp dẫn, lôi cuốn, cuốn hút, sinh
động, phong phú, thiết thực, sát thực tế, sâu sắc, chi tiết, cặn kẽ, cụ thể, tỉ mỉ, kỹ lưỡng, kỹ càng,
cẩn thận, hài hước, gần gũi, quan tâm, giúp đỡ, hỗ trợ tốt, tạo điều kiện, truyền đạt tốt, sáng tạo, năng
động, đam mê, nhiều kinh nghiệm, giàu kinh nghiệm, kiến thức sâu, vững, thành thạo, bài bản, mạch lạc,
logic, đáng giá, đáng tiền, tôn trọng, lắng nghe, thấu hiểu, thấu đáo, tuyệt hảo, quá đã, hết ý, đỉnh, êm
xuôi, trọn vẹn, suôn sẻ, trơn tru, may mắn, ấn tượng, đáp ứng tốt, dễ tiếp thu, dễ chịu, dễ sử dụng, hòa
đồng, nghiêm túc, tươi cười, ấm áp, quan tâm sinh viên, quan tâm học sinh, tâm đắc, ủng hộ, xịn, tốt
bụng, nâng cao, cải thiện nhiều, xứng đáng, đỡ vất vả, đỡ khổ
""")
NEGATIVE: Final = _phrases("""
tệ, chậm, chậm chạp, chậm trễ, lâu, lâu lắc, rườm rà, phức tạp, lằng nhằng, rắc rối, khó hiểu, khó, khó
khăn, mất thời gian, tốn thời gian, tốn kém, lộn xộn, bất tiện, cũ, cũ kỹ, thiếu, thiếu thốn, nóng, nóng
nực, nóng bức, chật, chật chội, bẩn, dơ, hôi, tồi, tồi tệ, dở, vô lý, bất hợp lý, mập mờ, nhiêu khê, lạc
hậu, yếu, yếu kém, kém, đắt, mắc, sơ sài, nhầm, nhầm lẫn, sai, sai sót, chán, nhàm, nhàm chán, mệt, mệt
mỏi, bừa bộn, tùy tiện, ì ạch, vớ vẩn, nhùng nhằng, hách dịch, cau có, cộc lốc, thờ ơ, lạnh lùng, khó
chịu, vô trách nhiệm, quan liêu, cáu, cáu gắt, gắt, gắt gỏng, khinh, khinh thường, coi thường, lề mề, vô
lễ, nạt, nạt nộ, quát, quát mắng, mắng, hời hợt, qua loa, chảnh, dửng dưng, vòi vĩnh, tắc trách, bất lịch
sự, vô cảm, nhăn nhó, lười, láo, bực, bực mình, bực bội, thất vọng, bức xúc, tức, tức giận, nản, ngán,
ngán ngẩm, tủi thân, ấm ức, rầu, oải, sốt ruột, nóng ruột, khổ, khổ sở, vất vả, cực, trễ, trễ hẹn, muộn,
hỏng, hư, lỗi, trục trặc, treo, sập, khiếu nại, tố cáo, phàn nàn, phản đối, kiện, làm khó, hành dân,
hành, đùn đẩy, đổ lỗi, lòng vòng, ồn, ồn ào, buồn ngủ, khô khan, khó tiếp thu, nặng, áp lực, quá tải, bất
công, thiên vị, chen lấn, chen ngang, lừa đảo, lừa, ăn gian, chặt chém, ẩu, cẩu thả, thất hứa, thất lạc,
sai hẹn, bất cập, hạn chế, nhược điểm, cứng nhắc, máy móc, rập khuôn, mơ hồ, chung chung, lan man, dài
dòng, không đâu vào đâu, uổng, phí, phí thời gian, đuối, căng thẳng, xấu, tối om, bí bách, ngột ngạt, mờ,
không công bằng, không rõ, không kịp, chưa tốt, chưa hợp lý, chưa rõ, chưa sâu, quá nhanh, quá nhiều, quá
ít, quá dài, quá đông, nói nhỏ, nói nhanh, đi trễ, về tay không, về không, bó tay, hết nổi, chịu không
nổi, đuổi, vòi tiền, phong bì, hành hạ, ức, điên, khùng, chê, dở ẹc, kinh khủng, tồi tàn, nát, oan, lạm
thu
""")
DEEDS: Final = _phrases("""
hướng dẫn, giải thích, chỉ dẫn, trả lời, chỉ bảo, nói rõ, giúp, tư vấn, hỗ trợ, giải quyết, báo trước,
thông báo, nhắc, xin lỗi, chào, cảm thông, lên tiếng, xử lý
""")
"""What an officer owes: saying it is done says little, denying it is blame."""
WISHES: Final = _phrases("""
nên, cần, cần phải, mong, mong muốn, đề nghị, yêu cầu, giá mà, giá như, phải chi, hy vọng, cải thiện,
nâng cấp, thay đổi, xem lại, khắc phục, bổ sung, tăng thêm, thêm, nhiều hơn, tốt hơn, hơn nữa, ít hơn,
giảm bớt, bớt, chú trọng hơn, đầu tư, trang bị thêm, mở rộng, điều chỉnh, hạn chế bớt, chậm lại
""")
NEGATORS: Final = _words(
    """
không chẳng chả chưa hổng hông đừng ko khỏi nỏ đếch đéo kém thiếu hết
"""
)
INTENSIFIERS: Final = _words(
    """
rất quá lắm cực thật ghê vô siêu hết khá đặc vô dữ thiệt quả hoàn hơi
"""
)
CONTRASTS: Final = _words(
    """
nhưng song nhưng_mà tuy mặc
"""
)
QUESTION_ENDS: Final = _words(
    """
không hả chưa à hử nhỉ
"""
)
TURNED_PRAISE: Final = _phrases("""
không có gì phải chê, không có gì để chê, không chê vào đâu được, không có gì phải phàn nàn, không có gì
phàn nàn, không có gì để phàn nàn, chẳng có gì phải chê, không thể tốt hơn, không thể chê, không gì bằng,
chẳng chê vào đâu được, không còn gì để chê, không có điểm nào chê, không phải chờ, không phải đợi, khỏi
phải chờ, không mất thời gian, không những, không chỉ, không ngại, không ngờ nhanh, chưa bao giờ to
tiếng, không có gì phải góp ý, không có gì không hài lòng, không chê
""")
TURNED_BLAME: Final = _phrases("""
không thể chấp nhận, không chấp nhận được, chẳng ra gì, không ra gì, chẳng ra sao, không ra sao, chẳng
đâu vào đâu, không đâu vào đâu, hết chỗ nói, hết thuốc chữa, như không, cũng như không, chẳng ai, không
ai, chả ai, không thèm, chẳng thèm, về tay không, làm như, giỏi ghê ha, bắt dân, coi dân, hành là chính,
nước đổ lá khoai, nước đổ đầu vịt, đem con bỏ chợ, mang con bỏ chợ, đầu voi đuôi chuột, ba phải, cưỡi
ngựa xem hoa, lần nào cũng, hết giấy này, đi tới đi lui, lên đi xuống, qua đi lại, không được gì, sao
không nói, mỗi lần nói một kiểu, mỗi người một kiểu, nay hẹn mai, lần lữa, đá qua đá lại
""")
TOPICS: Final = {
    "access": _phrases("""
ghế, ghế ngồi, bàn ghế, chỗ ngồi, phòng chờ, phòng, trụ sở, nhà vệ sinh, máy lạnh, quạt, nước uống, nước
nôi, bãi xe, gửi xe, nhà xe, chỗ để xe, đậu xe, máy lấy số, máy bấm số, bấm số, màn hình, loa, bảng chỉ
dẫn, biển báo, chỉ đường, chỉ quầy, tìm không ra, xe lăn, bậc thang, lối đi, mạng, wifi, trang web, cổng
dịch vụ, hệ thống, phần mềm, đăng nhập, tra cứu, tổng đài, đường dây, gọi điện, bắt máy, nghe máy, máy
bận, máy quét, máy tính, cơ sở vật chất, trang thiết bị, chen lấn, đông, xếp hàng, quầy nào, có một quầy,
một cửa làm việc, khang trang, nóng, chật, máy móc
"""),
    "procedure": _phrases("""
thủ tục, giấy tờ, quy trình, quy định, tờ khai, mẫu đơn, mẫu, biểu mẫu, công chứng, chứng thực, xác nhận,
bản sao, photo, bản gốc, hộ khẩu, niêm yết, trực tuyến, online, trên mạng, qua mạng, kê khai, nộp lại, bổ
sung, chữ ký, đóng dấu, con dấu, dấu giáp lai, cải cách, một cửa, giấy này, giấy kia, thêm giấy, thêm một
tờ, thiếu giấy, đủ thứ giấy, hành chính, lắm khâu, nhiều khâu, liên thông, ủy quyền, yêu cầu, thống nhất
"""),
    "officer": _phrases("""
cán bộ, nhân viên, công chức, người tiếp nhận, thái độ, nói năng, ăn nói, nói chuyện, trả lời, hướng dẫn,
giải thích, chỉ bảo, chỉ dẫn, tư vấn, phục vụ, cô ấy, anh ấy, chị ấy, em ấy, mấy o, mấy cô, mấy anh, mấy
em, quát, nạt, mắng, cáu, gắt, lên giọng, lớn tiếng, hách dịch, cửa quyền, lịch sự, nhiệt tình, tận tình,
niềm nở, vui vẻ, dễ thương, tử tế, tươi cười, lắng nghe, bỏ quầy, trống quầy, phong bì, bồi dưỡng, quen
biết, người quen, nhìn điện thoại, ngó lơ, không thèm, mỗi lần nói một kiểu, sao không nói, không nói
luôn, coi thường, tôn trọng, xưng hô
"""),
    "result": _phrases("""
kết quả, giấy hẹn, hẹn, đúng hẹn, trễ hẹn, sai hẹn, trước hẹn, quá hạn, in sai, ghi sai, sai tên, sai
chữ, sai ngày, nhầm tên, mất giấy, thất lạc, làm mất, giải quyết, xử lý, duyệt, bị trả, trả hồ sơ, từ
chối, lấy giấy, nhận giấy, nhận được, lấy được, có giấy, ra sổ, có sổ, trả sổ, cấp sai, cấp lại, làm lại,
xong việc, được việc, xong xuôi, chưa có giấy, chưa ra, chưa xong, biệt tăm, tăm hơi, đính chính, trình
ký, bị ngâm, ngâm hồ sơ, dứt điểm
"""),
    "feedback": _phrases("""
góp ý, phản ánh, kiến nghị, khiếu nại, tố cáo, tố, kiện, thưa, làm đơn, viết đơn, gửi đơn, đơn của tôi,
hòm thư, thùng thư, sổ góp ý, đường dây nóng, ý kiến, tiếp thu, lãnh đạo, chủ tịch, trưởng phòng, sếp,
cấp trên, báo chí, lên mạng, đưa lên mạng, hồi âm, đối thoại
"""),
    "time_cost": _phrases("""
chờ, đợi, chờ đợi, lâu, nhanh, lẹ, mau, chậm, tiếng đồng hồ, tiếng rồi, phút, cả buổi, cả ngày, nửa ngày,
từ sáng, đến trưa, tới trưa, mất thời gian, tốn thời gian, thời gian, nghỉ làm, xin nghỉ, mấy lần, lần
thứ, lần rồi, mấy bận, đi lại, đi tới đi lui, lên đi xuống, tới lượt, đến lượt, phí, lệ phí, tiền, thu
thêm, đắt, rẻ, mắc, tốn, xăng, tiền xe, công cốc, về không, nghìn, hóa đơn, miễn phí, loáng, một lần là
xong, mai lên lại, quay lại, giờ giấc, mở cửa, nghỉ trưa, trễ
"""),
}
"""What each factor is spoken of with: topic words, not verdicts."""
TOPICS_OF: Final = {
    phrase: tuple(topic for topic, phrases in TOPICS.items() if phrase in phrases)
    for phrase in frozenset().union(*TOPICS.values())
}
LONGEST: Final = 6
