use super::*;

#[test]
fn secrets_and_values_of_secret_headers_are_removed() {
    let cases: &[(&str, &str, &[&str], &str)] = &[
        ("none", "key wJalr", &[], "key wJalr"),
        ("one", "key wJalr!", &["wJalr"], "key [redacted]!"),
        ("every time", "wJalr, wJalr", &["wJalr"], "[redacted], [redacted]"),
        ("several", "AKIA wJalr", &["wJalr", "AKIA"], "[redacted] [redacted]"),
        ("one a part of another", "wJalrXUtn", &["wJalr", "wJalrXUtn"], "[redacted]"),
        ("one within another", "wJalrXUtn", &["alrX", "wJalrXUtn"], "[redacted]"),
        ("overlapping", "wJalrXUtn", &["wJalrX", "rXUtn"], "[redacted]"),
        ("short", "a cat sat", &["a", "cat", ""], "a cat sat"),
        ("four letters", "a cat sat", &["a ca"], "[redacted]t sat"),
        ("short, not ASCII", "猫です", &["猫"], "[redacted]です"),
        ("of several lines", "said 'a\nb\nc'", &["a\nb\nc"], "said '[redacted]'"),
        (
            "a token that is not in the list",
            "host:h\nx-amz-date:d\nx-amz-security-token:AQoD//w==\n\nhost;x-amz-security-token\ne3b0",
            &[],
            "host:h\nx-amz-date:d\nx-amz-security-token:[redacted]\n\nhost;x-amz-security-token\ne3b0",
        ),
        (
            "the same in JSON",
            r"host:h\nx-amz-security-token:AQoD//w==\n\nhost;x-amz-security-token\ne3b0",
            &[],
            r"host:h\nx-amz-security-token:[redacted]\n\nhost;x-amz-security-token\ne3b0",
        ),
        // RFC 8259, section 7: `/` may be escaped.
        (
            "the same in JSON that escapes slashes",
            r"x-amz-security-token:AQoD\/\/w==\n\nhost",
            &[],
            r"x-amz-security-token:[redacted]\n\nhost",
        ),
        (
            "a token that is in the list",
            "x-amz-security-token:AQoD//w==\n",
            &["AQoD//w=="],
            "x-amz-security-token:[redacted]\n",
        ),
        (
            "a secret that is a part of a header's name",
            "x-amz-security-token:AQoD//w==\n",
            &["security"],
            "x-amz-[redacted]-token:[redacted]\n",
        ),
        ("Authorization", "Authorization: Bearer k", &[], "Authorization:[redacted]"),
        ("authorization", "authorization:k\nx", &[], "authorization:[redacted]\nx"),
        ("AUTHORIZATION", "a AUTHORIZATION:k", &[], "a AUTHORIZATION:[redacted]"),
        (
            "an equals sign",
            "Authorization=AWS4-HMAC-SHA256 a=b\nx",
            &[],
            "Authorization=[redacted]\nx",
        ),
        ("a quoted name", r#"{"Authorization": "AWS4 a"}"#, &[], r#"{"Authorization":[redacted]"#),
        (
            "a quoted name in quoted JSON",
            r#"{\"x-amz-security-token\":\"IQoJ\"}"#,
            &[],
            r#"{\"x-amz-security-token\":[redacted]"#,
        ),
        (
            "every header",
            "authorization:a\nX-Amz-Security-Token:b\nauthorization:c\n東京",
            &[],
            "authorization:[redacted]\nX-Amz-Security-Token:[redacted]\nauthorization:[redacted]\n東京",
        ),
        (
            "a header in its own value",
            "x-amz-security-token:x-amz-security-token:x",
            &[],
            "x-amz-security-token:[redacted]",
        ),
        (
            "headers without values",
            "authorization:\nx-amz-security-token:\nx-amz-security-token:",
            &[],
            "authorization:[redacted]\nx-amz-security-token:[redacted]\nx-amz-security-token:[redacted]",
        ),
        ("a name and no colon", "no Authorization header", &[], "no Authorization header"),
        ("not ASCII around", "東authorization:京\n都", &[], "東authorization:[redacted]\n都"),
    ];
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|(name, text, secrets, expected)| {
            let actual = Redacted::new(text, secrets.iter().copied());
            (actual.as_str() != *expected).then(|| format!("{name}: {actual:?}"))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn parts_of_a_secret_are_removed() {
    const TOKEN: &str = "IQoJb3JpZ2luX2VjEXAMPLE/session+token==";
    let cases = [
        ("whole", format!("bad: {TOKEN}!"), "bad: [redacted]!"),
        ("its beginning", "bad: IQoJb3JpZ2luX2Vj…".to_owned(), "bad: [redacted]…"),
        ("its middle", "at 'X2VjEXAMPLE/session' x".to_owned(), "at '[redacted]' x"),
        ("its end", "…XAMPLE/session+token==".to_owned(), "…[redacted]"),
        ("twice", "IQoJb3JpZ2lu; IQoJb3JpZ2lu".to_owned(), "[redacted]; [redacted]"),
        ("too little of it", "the IQoJ session".to_owned(), "the IQoJ session"),
    ];
    for (name, text, expected) in cases {
        assert_eq!(Redacted::new(&text, [TOKEN]).as_str(), expected, "{name}");
    }
}

#[test]
fn a_long_and_uniform_secret_is_searched_in_linear_time() {
    let (secret, text) = ("a".repeat(1 << 20), "a".repeat(4000));
    assert_eq!(Redacted::new(&text, [secret.as_str()]).as_str(), "[redacted]");
}

#[test]
fn a_long_text_is_cut_between_characters() {
    for (name, unit) in [("one byte", "a"), ("three bytes", "あ"), ("four bytes", "🌸")] {
        let longest = unit.repeat(4000);
        assert_eq!(Redacted::new(&longest, []).as_str(), longest, "{name}, the longest");
        let cut = Redacted::new(&unit.repeat(4001), []);
        assert_eq!(cut.as_str(), format!("{longest}…"), "{name}, one more");
    }
    let secret_at_the_cut = format!("{}wJalrXUtn", "a".repeat(3995));
    let cut = Redacted::new(&secret_at_the_cut, ["wJalrXUtn"]);
    assert!(cut.as_str().ends_with("a[reda…"), "{cut:?}");
}

#[test]
fn debug_prints_the_text() {
    assert_eq!(format!("{:?}", Redacted::from("a \"word\"")), r#""a \"word\"""#);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it measures the time that it takes")]
fn redaction_takes_linear_time_in_the_length_of_the_text() {
    for line in ["authorization:\n", "x-amz-security-token:\n", "authorization:\\", "\\n:", "wJalr"]
    {
        let text = line.repeat(2_000_000 / line.len());
        let started = std::time::Instant::now();
        let redacted = Redacted::new(&text, ["wJalr", "a secret of some length, which it quotes"]);
        // It takes 0.2 s in a debug build. A quadratic pass took minutes.
        assert!(started.elapsed().as_secs() < 10, "{line:?}: {:?}", started.elapsed());
        assert!(redacted.as_str().chars().count() <= Redacted::MAX_CHARS + 1, "{line:?}");
    }
}
