use super::*;

/// A name, a JSON text, and its bytes.
type Case<'a> = (&'a str, &'a [u8], Option<&'a [u8]>);

#[test]
fn a_json_string_is_read_as_bytes_with_lone_surrogates() {
    #[rustfmt::skip]
    let cases: &[Case] = &[
        ("empty", br#""""#, Some(b"")),
        ("UTF-8", "\"日😀\"".as_bytes(), Some("日😀".as_bytes())),
        ("escapes", br#""\"\\\/\b\f\n\r\t\u0041""#, Some(b"\"\\/\x08\x0c\n\r\tA")),
        ("an escaped pair", br#""\ud83d\ude00""#, Some("😀".as_bytes())),
        ("half a character", b"\"a\xe6\x97\"", Some(b"a\xe6\x97")),
        ("the other half", b"\"\xa5b\"", Some(b"\xa5b")),
        ("a leading surrogate", br#""a\ud83d""#, Some(b"a\xed\xa0\xbd")),
        ("a trailing surrogate", br#""\ude00b""#, Some(b"\xed\xb8\x80b")),
        ("a leading surrogate before text", br#""\ud83db""#, Some(b"\xed\xa0\xbdb")),
        ("a leading surrogate before an escape", br#""\ud83d\n""#, Some(b"\xed\xa0\xbd\n")),
        ("two leading surrogates", br#""\ud83d\ud83d\ude00""#, Some(b"\xed\xa0\xbd\xf0\x9f\x98\x80")),
        ("an escape that is cut", br#""\ud8""#, None),
        ("an unknown escape", br#""\x""#, None),
        ("a number", b"1", None),
        ("null", b"null", None),
    ];
    for (name, json, expected) in cases {
        let actual = serde_json::from_slice(json).ok().map(|RawText(bytes)| bytes);
        assert_eq!(actual.as_deref(), *expected, "{name}");
    }
}

/// A name, the deltas, and the text that each of them and the end gives.
type Row<'a> = (&'a str, &'a [&'a [u8]], &'a [&'a str]);

#[test]
fn characters_that_are_split_across_deltas_are_joined_and_the_rest_is_replaced() {
    #[rustfmt::skip]
    let cases: &[Row] = &[
        ("whole characters", &[b"a", "日".as_bytes()], &["a", "日", ""]),
        ("empty deltas", &[b"", "日".as_bytes(), b""], &["", "日", "", ""]),
        ("two bytes", &[b"\xc3", b"\xa9"], &["", "é", ""]),
        ("three bytes", &[b"\xe6", b"\x97", b"\xa5"], &["", "", "日", ""]),
        ("four bytes", &[b"\xf0", b"\x9f", b"\x98", b"\x80"], &["", "", "", "😀", ""]),
        ("between whole ones", &[b"a\xe6\x97", b"\xa5b"], &["a", "日b", ""]),
        ("an empty delta between", &[b"\xe6\x97", b"", b"\xa5"], &["", "", "日", ""]),
        ("a surrogate pair", &[b"\xed\xa0\xbd", b"\xed\xb8\x80"], &["", "😀", ""]),
        ("a surrogate pair in text", &[b"a\xed\xa0\xbd", b"\xed\xb8\x80b"], &["a", "😀b", ""]),
        ("pairs in one delta", &[b"\xed\xa0\xbd\xed\xb8\x80-\xed\xa0\xbc\xed\xbe\x8c"], &["😀-🎌", ""]),
        ("Hangul, which begins like a surrogate", &["\u{d7a3}\u{d000}".as_bytes()], &["\u{d7a3}\u{d000}", ""]),
        ("half of two bytes", &[b"a\xc3"], &["a", "\u{fffd}"]),
        ("half of three bytes", &[b"a\xe6\x97"], &["a", "\u{fffd}"]),
        ("half of four bytes", &[b"a\xf0\x9f\x98"], &["a", "\u{fffd}"]),
        ("half of a pair", &[b"a\xed\xa0\xbd"], &["a", "\u{fffd}"]),
        ("half of a character, then text", &[b"\xe6\x97", b"a"], &["", "\u{fffd}a", ""]),
        ("half of a pair, then text", &[b"\xed\xa0\xbd", b"a"], &["", "\u{fffd}a", ""]),
        ("half of a pair, then a pair", &[b"\xed\xa0\xbd", b"\xed\xa0\xbd", b"\xed\xb8\x80"], &["", "\u{fffd}", "😀", ""]),
        ("half of a pair, then no half", &[b"\xed\xa0\xbd", b"\xed\x80\x80"], &["", "\u{fffd}\u{d000}", ""]),
        ("the second half alone", &[b"a\xed\xb8\x80b"], &["a\u{fffd}b", ""]),
        ("a pair whose half is cut", &[b"\xed\xa0a\xed\xb8\x80"], &["\u{fffd}\u{fffd}a\u{fffd}", ""]),
        ("a rest without a beginning", &[b"\x97a"], &["\u{fffd}a", ""]),
        ("a byte that UTF-8 never has", &[b"\xff", b"a"], &["\u{fffd}", "a", ""]),
    ];
    let mut wrong = Vec::new();
    for (name, deltas, expected) in cases {
        let mut joiner = Joiner::default();
        let mut actual = Vec::new();
        for delta in *deltas {
            actual.push(joiner.push(delta));
            assert!(joiner.tail.len() <= 3, "{name}");
        }
        actual.push(joiner.finish());
        if actual != *expected {
            wrong.push(format!("{name}: {actual:?}, not {expected:?}"));
        }
        assert_eq!(joiner.finish(), "", "{name}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn whole_characters_are_never_held_back_or_lost() {
    let interesting = [b'a', 0x80, 0xa0, 0xbf, 0xc3, 0xe6, 0xed, 0xf0, 0xff];
    let count = interesting.len();
    for number in 0..count.pow(4) {
        let bytes: Vec<u8> =
            (0..4).map(|place| interesting[number / count.pow(place) % count]).collect();
        let mut joiner = Joiner::default();
        let mut text = String::new();
        for byte in &bytes {
            text += &joiner.push(&[*byte]);
            assert!(joiner.tail.len() <= 3, "{bytes:x?}");
        }
        text += &joiner.finish();
        let ascii = |text: &str| text.matches('a').count();
        assert_eq!(ascii(&text), ascii(&String::from_utf8_lossy(&bytes)), "{bytes:x?}: {text:?}");
    }
}
