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
        // The rest of the second is not a whole secret.
        ("overlapping", "wJalrXUtn", &["wJalrX", "rXUtn"], "[redacted]Utn"),
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
            let actual = Redacted::new(text, secrets.iter().copied(), []);
            (actual.as_str() != *expected).then(|| format!("{name}: {actual:?}"))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn quotations_of_a_prompt_are_removed() {
    const PROMPT: &str = "Tell me the secret of the \"long\" life,\nin forty words.";
    const JAPANESE: &str = "長生きの秘訣を四十字で教えてください。";
    let cases = [
        ("whole", PROMPT, format!("bad: {PROMPT}!"), "bad: [redacted]!"),
        ("as JSON", PROMPT, format!("bad: {PROMPT:?}"), "bad: \"[redacted]\""),
        (
            "an escape early in it, as JSON",
            r"fault:validation \ tellnoone",
            r#""fault:validation \\ tellnoone""#.to_owned(),
            r#""[redacted]""#,
        ),
        (
            "a quotation mark at its end, as JSON",
            "say \"a\"",
            r#"bad: say \"a\"."#.to_owned(),
            "bad: [redacted].",
        ),
        ("its beginning", PROMPT, "bad: Tell me the secret…".to_owned(), "bad: [redacted]…"),
        ("its middle", PROMPT, "at 'the secret of the' x".to_owned(), "at '[redacted]' x"),
        (
            "twice",
            PROMPT,
            "the secret of the; the secret of the".to_owned(),
            "[redacted];[redacted]",
        ),
        ("too little of it", PROMPT, "the secret of it".to_owned(), "the secret of it"),
        ("Japanese", JAPANESE, "「秘訣を四十字で」".to_owned(), "「[redacted]」"),
        ("short", "four", "on four legs".to_owned(), "on [redacted] legs"),
        ("in every text", "a", "a bad day".to_owned(), "a bad day"),
        ("nothing", "", "a bad day".to_owned(), "a bad day"),
    ];
    for (name, prompt, text, expected) in cases {
        assert_eq!(Redacted::new(&text, [], [prompt]).as_str(), expected, "{name}");
    }
}

#[test]
fn a_long_and_uniform_prompt_is_searched_in_linear_time() {
    let (prompt, text) = ("a".repeat(1 << 20), "a".repeat(4000));
    assert_eq!(Redacted::new(&text, [], [prompt.as_str()]).as_str(), "[redacted]");
}

#[test]
fn a_long_text_is_cut_between_characters() {
    for (name, unit) in [("one byte", "a"), ("three bytes", "あ"), ("four bytes", "🌸")] {
        let longest = unit.repeat(4000);
        assert_eq!(Redacted::new(&longest, [], []).as_str(), longest, "{name}, the longest");
        let cut = Redacted::new(&unit.repeat(4001), [], []);
        assert_eq!(cut.as_str(), format!("{longest}…"), "{name}, one more");
    }
    let secret_at_the_cut = format!("{}wJalrXUtn", "a".repeat(3995));
    let cut = Redacted::new(&secret_at_the_cut, ["wJalrXUtn"], []);
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
        let redacted =
            Redacted::new(&text, ["wJalr"], ["a prompt of some length, which it quotes"]);
        // It takes 0.2 s in a debug build. A quadratic pass took minutes.
        assert!(started.elapsed().as_secs() < 10, "{line:?}: {:?}", started.elapsed());
        assert!(redacted.as_str().chars().count() <= Redacted::MAX_CHARS + 1, "{line:?}");
    }
}
