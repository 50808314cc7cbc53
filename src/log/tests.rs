use super::*;

fn record(status: u16) -> Record {
    let mut record = Record::new(Identifier::new("b3f6").unwrap());
    record.set_status(status);
    record
}

/// Operators search their logs by these names, and rely on what is left out.
#[test]
fn the_log_line_has_exactly_this_format() {
    let full = Record {
        outcome: "throttled",
        model: Some("apac.anthropic.claude-sonnet-4-20250514-v1:0".to_owned()),
        region: Some("ap-northeast-1".to_owned()),
        upstream_status: Some(429),
        upstream_request_id: Identifier::new("a-1"),
        retries: 2,
        input_tokens: Some(12),
        output_tokens: Some(34),
        stop_reason: Identifier::new("end_turn"),
        upstream_time: Some(Duration::from_micros(1_500_999)),
        total_time: Some(Duration::from_millis(1502)),
        error: Some(Redacted::from("it said \"東京\"")),
        ..record(500)
    };
    let finished = Record { total_time: Some(Duration::ZERO), ..record(200) };
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
            finished,
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
fn the_level_follows_from_the_status() {
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
fn lines_below_the_log_level_are_left_out() {
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
