use super::*;

fn record(status: u16) -> Record {
    let mut record = Record::new(Token::new("b3f6").unwrap());
    record.set_status(status);
    record
}

/// Those who search their logs rely on the names, and on what is left out.
#[test]
fn line_format_unchanged() {
    let full = Record {
        outcome: "throttled",
        model: Some("apac.anthropic.claude-sonnet-4-20250514-v1:0".to_owned()),
        region: Some("ap-northeast-1".to_owned()),
        upstream_status: Some(429),
        upstream_request_id: Token::new("a-1"),
        retries: 2,
        input_tokens: Some(12),
        output_tokens: Some(34),
        stop_reason: Token::new("end_turn"),
        upstream_time: Some(Duration::from_micros(1_500_999)),
        total_time: Some(Duration::from_millis(1502)),
        error: Some(Redacted::from("it said \"東京\"")),
        ..record(500)
    };
    let answered = Record { total_time: Some(Duration::ZERO), ..record(200) };
    for (name, record, expected) in [
        (
            "full",
            full,
            concat!(
                r#"{"level":"error","outcome":"throttled","status":500,"request_id":"b3f6","#,
                r#""model":"apac.anthropic.claude-sonnet-4-20250514-v1:0","#,
                r#""region":"ap-northeast-1","upstream_status":429,"x_amzn_requestid":"a-1","#,
                r#""retries":2,"input_tokens":12,"output_tokens":34,"stop_reason":"end_turn","#,
                r#""upstream_ms":1500,"total_ms":1502,"error":"it said \"東京\""}"#,
            ),
        ),
        (
            "no call",
            answered,
            concat!(
                r#"{"level":"info","outcome":"ok","status":200,"request_id":"b3f6","#,
                r#""retries":0,"total_ms":0}"#,
            ),
        ),
        (
            "a clock that went back",
            record(200),
            r#"{"level":"info","outcome":"ok","status":200,"request_id":"b3f6","retries":0}"#,
        ),
    ] {
        assert_eq!(record.line(None).as_deref(), Some(expected), "{name}");
    }
}

#[test]
fn level_by_status() {
    for (status, level) in [
        (200, Level::Info),
        (204, Level::Info),
        (399, Level::Info),
        (400, Level::Warn),
        (499, Level::Warn),
        (500, Level::Error),
        (599, Level::Error),
    ] {
        assert_eq!(record(status).level, level, "{status}");
    }
}

#[test]
fn lines_by_log_level() {
    let config = |log_level| {
        Config::from_vars(|name| match name {
            "AWS_BEARER_TOKEN_BEDROCK" => Some("key".to_owned()),
            "LOG_LEVEL" => Some(String::from(log_level)),
            _ => None,
        })
        .unwrap()
    };
    for (log_level, logged) in [
        ("debug", [true, true, true]),
        ("info", [true, true, true]),
        ("warn", [false, true, true]),
        ("error", [false, false, true]),
    ] {
        let config = config(log_level);
        let lines = [200, 400, 500].map(|status| record(status).line(Some(&config)).is_some());
        assert_eq!(lines, logged, "{log_level}");
    }
    assert!(record(200).line(None).is_some(), "without a configuration");
}

#[test]
fn levels_are_parsed() {
    for (text, expected) in [
        ("debug", Ok(Level::Debug)),
        ("info", Ok(Level::Info)),
        ("warn", Ok(Level::Warn)),
        ("error", Ok(Level::Error)),
        ("WARNING", Ok(Level::Warn)),
        ("CRITICAL", Ok(Level::Error)),
        ("Info", Ok(Level::Info)),
        ("", Err(())),
        (" info", Err(())),
        ("trace", Err(())),
        ("20", Err(())),
    ] {
        assert_eq!(text.parse::<Level>(), expected, "{text:?}");
    }
}

#[test]
fn tokens_are_checked() {
    let (longest, too_long) = ("x".repeat(128), "x".repeat(129));
    for (name, text, accepted) in [
        ("one character", "x", true),
        ("a UUID", "6f1c1c9e-4d5c-4f5e-9d3e-0c8b6a1f2e3d", true),
        ("every punctuation", "-_.:=/", true),
        ("a trace id", "Root=1-67891233-abcdef012345678912345678", true),
        ("the longest", &longest, true),
        ("empty", "", false),
        ("too long", &too_long, false),
        ("a space", "two words", false),
        ("a newline", "x\n", false),
        ("a quote", "x\"", false),
        ("a semicolon", "x;y", false),
        ("a NUL", "\0", false),
        ("not ASCII", "é", false),
    ] {
        let token = Token::new(text);
        assert_eq!(token.as_ref().map(Token::as_str), accepted.then_some(text), "{name}");
    }
}

#[test]
fn a_random_token_is_a_uuid_of_version_4() {
    for (bits, expected) in [
        (0, "00000000-0000-4000-8000-000000000000"),
        (u128::MAX, "ffffffff-ffff-4fff-bfff-ffffffffffff"),
        (0x0011_2233_4455_6677_8899_aabb_ccdd_eeff, "00112233-4455-4677-8899-aabbccddeeff"),
    ] {
        assert_eq!(Token::random(bits).as_str(), expected);
    }
}

#[test]
fn secrets_are_taken_out() {
    let cases: &[(&str, &str, &[&str], &str)] = &[
        ("none", "key wJalr", &[], "key wJalr"),
        ("one", "key wJalr!", &["wJalr"], "key [redacted]!"),
        ("every time", "wJalr, wJalr", &["wJalr"], "[redacted], [redacted]"),
        ("several", "AKIA wJalr", &["wJalr", "AKIA"], "[redacted] [redacted]"),
        ("one a part of another", "wJalrXUtn", &["wJalr", "wJalrXUtn"], "[redacted]"),
        ("one within another", "wJalrXUtn", &["alrX", "wJalrXUtn"], "[redacted]"),
        // What is left of the second is no whole secret.
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
fn what_is_quoted_of_a_prompt_is_taken_out() {
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
fn a_long_and_uniform_prompt_takes_no_time() {
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
fn redacted_is_printed_as_its_text() {
    assert_eq!(format!("{:?}", Redacted::from("a \"word\"")), r#""a \"word\"""#);
}
