/* python_values - what Python says, for the tests of the codec. Made with Popoto 1.10.1, msgpack-python 1.2.4
 * and Python 3.11 by
 *
 *     msgpack.packb(TYPE_ENCODER_DECODERS[type(v)].encoder(v) if type(v) in TYPE_ENCODER_DECODERS
 *                   else v)
 */
/* One VECTOR(value, bytes) for each; define VECTOR and include this. */
/* clang-format off */
VECTOR(POPOTO_VALUE((const char *)NULL),
       "\xc0")
VECTOR(popoto_of_bool(true),
       "\xc3")
VECTOR(popoto_of_bool(false),
       "\xc2")
VECTOR(popoto_of_int(0),
       "\x00")
VECTOR(popoto_of_int(1),
       "\x01")
VECTOR(popoto_of_int(127),
       "\x7f")
VECTOR(popoto_of_int(128),
       "\xcc\x80")
VECTOR(popoto_of_int(255),
       "\xcc\xff")
VECTOR(popoto_of_int(256),
       "\xcd\x01\x00")
VECTOR(popoto_of_int(65535),
       "\xcd\xff\xff")
VECTOR(popoto_of_int(65536),
       "\xce\x00\x01\x00\x00")
VECTOR(popoto_of_int(INT64_C(4294967295)),
       "\xce\xff\xff\xff\xff")
VECTOR(popoto_of_int(INT64_C(4294967296)),
       "\xcf\x00\x00\x00\x01\x00\x00\x00\x00")
VECTOR(popoto_of_int(INT64_C(9223372036854775807)),
       "\xcf\x7f\xff\xff\xff\xff\xff\xff\xff")
VECTOR(popoto_of_int(-1),
       "\xff")
VECTOR(popoto_of_int(-32),
       "\xe0")
VECTOR(popoto_of_int(-33),
       "\xd0\xdf")
VECTOR(popoto_of_int(-128),
       "\xd0\x80")
VECTOR(popoto_of_int(-129),
       "\xd1\xff\x7f")
VECTOR(popoto_of_int(-32768),
       "\xd1\x80\x00")
VECTOR(popoto_of_int(-32769),
       "\xd2\xff\xff\x7f\xff")
VECTOR(popoto_of_int(INT64_C(-2147483648)),
       "\xd2\x80\x00\x00\x00")
VECTOR(popoto_of_int(INT64_C(-2147483649)),
       "\xd3\xff\xff\xff\xff\x7f\xff\xff\xff")
VECTOR(popoto_of_int(INT64_MIN),
       "\xd3\x80\x00\x00\x00\x00\x00\x00\x00")
VECTOR(popoto_of_float(0.0),
       "\xcb\x00\x00\x00\x00\x00\x00\x00\x00")
VECTOR(popoto_of_float(-0.0),
       "\xcb\x80\x00\x00\x00\x00\x00\x00\x00")
VECTOR(popoto_of_float(0.5),
       "\xcb?\xe0\x00\x00\x00\x00\x00\x00")
VECTOR(popoto_of_float(-1.5),
       "\xcb\xbf\xf8\x00\x00\x00\x00\x00\x00")
VECTOR(popoto_of_float(1e+300),
       "\xcb~7\xe4<\x88\x00u\x9c")
VECTOR(popoto_of_float(5e-324),
       "\xcb\x00\x00\x00\x00\x00\x00\x00\x01")
VECTOR(popoto_of_float(INFINITY),
       "\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00")
VECTOR(popoto_of_float(-INFINITY),
       "\xcb\xff\xf0\x00\x00\x00\x00\x00\x00")
VECTOR(text(""),
       "\xa0")
VECTOR(text("a"),
       "\xa1""a")
VECTOR(text("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
       "\xbfxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
VECTOR(text("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
       "\xd9 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
VECTOR(text("h\xc3\xa9llo \xe2\x82\xac \xf0\x9f\xa6\x9b"),
       "\xafh\xc3\xa9llo \xe2\x82\xac \xf0\x9f\xa6\x9b")
VECTOR(SIZED("a\x00""b"),
       "\xa3""a\x00""b")
VECTOR(BYTES(""),
       "\xc4\x00")
VECTOR(BYTES("\x00\xff\x80"),
       "\xc4\x03\x00\xff\x80")
VECTOR(BYTES("ab"),
       "\xc4\x02""ab")
VECTOR(DECIMAL("1.50"),
       "\x82\xab__Decimal__\xc3\xac""as_encodable\xa4""1.50")
VECTOR(DECIMAL("-1E+3"),
       "\x82\xab__Decimal__\xc3\xac""as_encodable\xa5-1E+3")
VECTOR(DECIMAL("0.000001"),
       "\x82\xab__Decimal__\xc3\xac""as_encodable\xa8""0.000001")
VECTOR(DECIMAL("1E-7"),
       "\x82\xab__Decimal__\xc3\xac""as_encodable\xa4""1E-7")
VECTOR(DECIMAL("-0"),
       "\x82\xab__Decimal__\xc3\xac""as_encodable\xa2-0")
VECTOR(DECIMAL("0E+3"),
       "\x82\xab__Decimal__\xc3\xac""as_encodable\xa4""0E+3")
VECTOR(DECIMAL("12345678901234567890.123456789"),
       "\x82\xab__Decimal__\xc3\xac""as_encodable\xbe""12345678901234567890.123456789")
VECTOR(TIME(INT64_C(1577927045000006), 7200),
       "\x82\xac__datetime__\xc3\xac""as_encodable\xd9 2020-01-02T03:04:05.000006+02:00")
VECTOR(TIME(INT64_C(1577934245000000), 0),
       "\x82\xac__datetime__\xc3\xac""as_encodable\xb9""2020-01-02T03:04:05+00:00")
VECTOR(TIME(INT64_C(1577934245000000), POPOTO_NAIVE),
       "\x82\xac__datetime__\xc3\xac""as_encodable\xb3""2020-01-02T03:04:05")
VECTOR(TIME(INT64_C(1577929220000600), 5025),
       "\x82\xac__datetime__\xc3\xac""as_encodable\xd9#2020-01-02T03:04:05.000600+01:23:45")
VECTOR(TIME(INT64_C(1577939270000000), -5025),
       "\x82\xac__datetime__\xc3\xac""as_encodable\xbc""2020-01-02T03:04:05-01:23:45")
VECTOR(DAY(2020, 1, 2),
       "\x82\xa8__date__\xc3\xac""as_encodable\xa8""20200102")
VECTOR(DAY(9999, 12, 31),
       "\x82\xa8__date__\xc3\xac""as_encodable\xa8""99991231")
VECTOR(DAY(1000, 1, 1),
       "\x82\xa8__date__\xc3\xac""as_encodable\xa8""10000101")
VECTOR(CLOCK(1, 2, 3, 0),
       "\x82\xa8__time__\xc3\xac""as_encodable\xa8""01:02:03")
VECTOR(CLOCK(23, 59, 59, 999999),
       "\x82\xa8__time__\xc3\xac""as_encodable\xaf""23:59:59.999999")
VECTOR(CLOCK(0, 0, 0, 0),
       "\x82\xa8__time__\xc3\xac""as_encodable\xa8""00:00:00")
VECTOR(popoto_of_items(POPOTO_LIST, NULL, 0),
       "\x90")
VECTOR(ITEMS(POPOTO_LIST, popoto_of_int(1), text("a"), POPOTO_VALUE((const char *)NULL), popoto_of_float(2.5), ITEMS(POPOTO_LIST, popoto_of_bool(true))),
       "\x95\x01\xa1""a\xc0\xcb@\x04\x00\x00\x00\x00\x00\x00\x91\xc3")
VECTOR(popoto_of_items(POPOTO_TUPLE, NULL, 0),
       "\x82\xa9__tuple__\xc3\xac""as_encodable\x90")
VECTOR(ITEMS(POPOTO_TUPLE, popoto_of_int(1), text("two")),
       "\x82\xa9__tuple__\xc3\xac""as_encodable\x92\x01\xa3two")
VECTOR(popoto_of_items(POPOTO_SET, NULL, 0),
       "\x82\xa7__set__\xc3\xac""as_encodable\x90")
VECTOR(ITEMS(POPOTO_SET, text("x")),
       "\x82\xa7__set__\xc3\xac""as_encodable\x91\xa1x")
VECTOR(popoto_of_items(POPOTO_MAP, NULL, 0),
       "\x80")
VECTOR(ITEMS(POPOTO_MAP, text("a"), popoto_of_int(1), text("b"), ITEMS(POPOTO_LIST, popoto_of_int(1), popoto_of_int(2))),
       "\x82\xa1""a\x01\xa1""b\x92\x01\x02")
VECTOR(ITEMS(POPOTO_MAP, popoto_of_int(1), popoto_of_int(3), POPOTO_VALUE((const char *)NULL), popoto_of_int(2), popoto_of_float(2.5), text("f"), BYTES("k"), text("bytes")),
       "\x84\x01\x03\xc0\x02\xcb@\x04\x00\x00\x00\x00\x00\x00\xa1""f\xc4\x01k\xa5""bytes")
VECTOR(ITEMS(POPOTO_LIST, popoto_of_int(0), popoto_of_int(1), popoto_of_int(2), popoto_of_int(3), popoto_of_int(4), popoto_of_int(5), popoto_of_int(6), popoto_of_int(7), popoto_of_int(8), popoto_of_int(9), popoto_of_int(10), popoto_of_int(11), popoto_of_int(12), popoto_of_int(13), popoto_of_int(14), popoto_of_int(15)),
       "\xdc\x00\x10\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f")
VECTOR(ITEMS(POPOTO_MAP, text("0"), popoto_of_int(0), text("1"), popoto_of_int(1), text("2"), popoto_of_int(2), text("3"), popoto_of_int(3), text("4"), popoto_of_int(4), text("5"), popoto_of_int(5), text("6"), popoto_of_int(6), text("7"), popoto_of_int(7), text("8"), popoto_of_int(8), text("9"), popoto_of_int(9), text("10"), popoto_of_int(10), text("11"), popoto_of_int(11), text("12"), popoto_of_int(12), text("13"), popoto_of_int(13), text("14"), popoto_of_int(14), text("15"), popoto_of_int(15)),
       "\xde\x00\x10\xa1""0\x00\xa1""1\x01\xa1""2\x02\xa1""3\x03\xa1""4\x04\xa1""5\x05\xa1""6\x06\xa1""7\x07\xa1""8\x08\xa1""9\x09\xa2""10\x0a\xa2""11\x0b\xa2""12\x0c\xa2""13\x0d\xa2""14\x0e\xa2""15\x0f")
VECTOR(ITEMS(POPOTO_TUPLE, text("n"), ITEMS(POPOTO_LIST, popoto_of_int(1), ITEMS(POPOTO_MAP, text("k"), text("v")))),
       "\x82\xa9__tuple__\xc3\xac""as_encodable\x92\xa1n\x92\x01\x81\xa1k\xa1v")
/* clang-format on */
