//! Conversations: the member `messages`.

use super::*;

/// Returns a body with these messages.
fn body(messages: &str) -> String {
    format!(r#"{{"messages": {messages}}}"#)
}

fn message_of(error: Error) -> String {
    assert_eq!(error.code, Code::InvalidRequest, "{error:?}");
    error.message
}

#[test]
fn a_conversation_keeps_the_callers_json_and_knows_its_texts() {
    struct Row {
        name: &'static str,
        messages: &'static str,
        texts: &'static [&'static str],
        /// The user's last text.
        prompt: &'static str,
        len: usize,
        prefill: Option<usize>,
    }
    let rows = [
        Row {
            name: "one message",
            messages: r#"[{"role": "user", "content": "a"}]"#,
            texts: &["a"],
            prompt: "a",
            len: 1,
            prefill: None,
        },
        Row {
            name: "a question after a reply",
            messages: r#"[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]"#,
            texts: &["a", "b", "c"],
            prompt: "c",
            len: 3,
            prefill: None,
        },
        Row {
            name: "blocks",
            messages: r#"[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"assistant","content":[{"type":"text","text":"c"}]},{"role":"user","content":[{"type":"text","text":"d"},{"type":"text","text":"e"}]}]"#,
            texts: &["a", "b", "c", "d", "e"],
            prompt: "e",
            len: 3,
            prefill: None,
        },
        Row {
            name: "a prefill",
            messages: r#"[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]"#,
            texts: &["a", "b"],
            prompt: "a",
            len: 2,
            prefill: Some(1),
        },
        Row {
            name: "two messages of the user in a row",
            messages: r#"[{"role":"user","content":"a"},{"role":"user","content":"b"}]"#,
            texts: &["a", "b"],
            prompt: "b",
            len: 2,
            prefill: None,
        },
        Row {
            name: "unusual spacing, escapes and order",
            messages: "[\t{ \"content\" :\r\n[ {\"text\":\"\\u3042\\/\" ,\"type\":\"text\"} ], \"r\\u006fle\":\"user\" } ]",
            texts: &["あ/"],
            prompt: "あ/",
            len: 1,
            prefill: None,
        },
        Row {
            name: "white space in a text stays",
            messages: r#"[{"role":"user","content":" a\n"}]"#,
            texts: &[" a\n"],
            prompt: " a\n",
            len: 1,
            prefill: None,
        },
    ];
    let config = defaults();
    for Row { name, messages, texts, prompt, len, prefill } in rows {
        // White space around the array is not a part of it.
        let body = format!("{{\"max_tokens\": 5, \"messages\" : \n{messages}\t}}");
        let request = parse(body.as_bytes(), &config).unwrap_or_else(|it| panic!("{name}: {it}"));
        assert_eq!(request.prompt(), prompt, "{name}");
        assert_eq!(request.texts().collect::<Vec<_>>(), texts, "{name}");
        assert_eq!(request.messages.len(), len, "{name}");
        assert_eq!(request.messages.prefill(), prefill, "{name}");
        assert_eq!(request.max_tokens, 5, "{name}");
        let owned = request.clone().into_owned();
        for request in [&request, &owned] {
            let mut json = String::new();
            request.messages.write(&mut json);
            assert_eq!(json, messages, "{name}");
        }
        assert_eq!(owned, request, "{name}");
    }
}

#[test]
fn an_invalid_conversation_is_refused_with_a_message_that_names_the_place() {
    const NO_ARRAY: &str = "messages must be an array of messages";
    const ROLE: &str = r#"messages[2].role must be "user" or "assistant""#;
    const CONTENT: &str = "messages[2].content must be a string or an array of text blocks";
    // Each `third` follows two valid messages.
    let third = |message: &str| {
        format!(
            r#"[{{"role":"user","content":"a"}},{{"role":"assistant","content":"b"}},{message}]"#
        )
    };
    let block = |block: &str| {
        third(&format!(r#"{{"role":"user","content":[{{"type":"text","text":"c"}},{block}]}}"#))
    };
    let text = str::to_owned;
    #[rustfmt::skip]
    let cases = [
        ("a string", text(r#""a""#), NO_ARRAY),
        ("a number", text("1"), NO_ARRAY),
        ("an object", text(r#"{"role": "user", "content": "a"}"#), NO_ARRAY),
        ("empty", text("[]"), "messages must not be empty: expected a user's message as messages[0]"),
        ("a string in place of a message", third(r#""c""#), "messages[2] must be an object"),
        ("null in place of a message", third("null"), "messages[2] must be an object"),
        ("an array in place of a message", third(r#"["user", "c"]"#), "messages[2] must be an object"),
        ("another role", third(r#"{"role":"system","content":"c"}"#), ROLE),
        ("a role in capitals", third(r#"{"role":"User","content":"c"}"#), ROLE),
        ("a role that is null", third(r#"{"role":null,"content":"c"}"#), ROLE),
        ("a role that is an array", third(r#"{"role":["user"],"content":"c"}"#), ROLE),
        ("no role", third(r#"{"content":"c"}"#), ROLE),
        ("no member", third("{}"), ROLE),
        ("another role first", text(r#"[{"role":"system","content":"a"}]"#), r#"messages[0].role must be "user" or "assistant""#),
        ("the assistant first", text(r#"[{"role":"assistant","content":"a"}]"#), r#"messages[0].role must be "user": a conversation begins with the user"#),
        ("an unknown member", third(r#"{"role":"user","content":"c","name":"x"}"#), r#"messages[2] has the member "name": expected role and content only"#),
        ("the role twice", third(r#"{"role":"user","role":"user","content":"c"}"#), "messages[2].role is there twice"),
        ("the content twice", third(r#"{"role":"user","content":"c","content":"c"}"#), "messages[2].content is there twice"),
        ("the content twice, once escaped", third(r#"{"role":"user","content":"c","c\u006fntent":"c"}"#), "messages[2].content is there twice"),
        ("no content", third(r#"{"role":"user"}"#), "messages[2].content is missing"),
        ("content: null", third(r#"{"role":"user","content":null}"#), CONTENT),
        ("content: a number", third(r#"{"role":"user","content":1}"#), CONTENT),
        ("content: an object", third(r#"{"role":"user","content":{"type":"text","text":"c"}}"#), CONTENT),
        ("content: empty", third(r#"{"role":"user","content":[]}"#), "messages[2].content must not be empty"),
        ("content: blank", third(r#"{"role":"user","content":" \n"}"#), "messages[2].content must not be blank"),
        ("content: an ideographic space", third(r#"{"role":"user","content":"\u3000"}"#), "messages[2].content must not be blank"),
        ("content: a lone surrogate", third(r#"{"role":"user","content":"\udf8c"}"#), "messages[2].content is not a valid string: lone leading surrogate in hex escape"),
        ("the assistant's content: blank", text(r#"[{"role":"user","content":"a"},{"role":"assistant","content":""}]"#), "messages[1].content must not be blank"),
        ("a block: a string", block(r#""d""#), "messages[2].content[1] must be an object"),
        ("a block of another type", block(r#"{"type":"thinking","text":"d"}"#), r#"messages[2].content[1].type must be "text""#),
        ("a block without a type", block(r#"{"text":"d"}"#), r#"messages[2].content[1].type must be "text""#),
        ("an image", block(r#"{"type":"image","source":{}}"#), r#"messages[2].content[1].type must be "text""#),
        ("a cached block", block(r#"{"type":"text","text":"d","cache_control":{"type":"ephemeral"}}"#), r#"messages[2].content[1] has the member "cache_control": expected type and text only"#),
        ("a block without text", block(r#"{"type":"text"}"#), "messages[2].content[1].text is missing"),
        ("a block's text: null", block(r#"{"type":"text","text":null}"#), "messages[2].content[1].text must be a string"),
        ("a block's text twice", block(r#"{"type":"text","text":"d","text":"d"}"#), "messages[2].content[1].text is there twice"),
        ("a block's text: blank", block(r#"{"type":"text","text":"\t"}"#), "messages[2].content[1].text must not be blank"),
    ];
    let config = defaults();
    let mut wrong = Vec::new();
    for (name, messages, expected) in cases {
        let body = body(&messages);
        let actual = parse(body.as_bytes(), &config).map_err(message_of);
        if actual.as_ref().err().map(String::as_str) != Some(expected) {
            wrong.push(format!("{name}: {actual:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_body_has_either_a_prompt_or_messages() {
    const BOTH: &str = "prompt and messages exclude each other: send one of them";
    const MESSAGES: &str = r#"[{"role":"user","content":"a"}]"#;
    let deep = nested(MAX_DEPTH + 1);
    let cases = [
        ("both", format!(r#"{{"prompt": "a", "messages": {MESSAGES}}}"#), BOTH),
        ("both, invalid", r#"{"messages": [], "prompt": 1}"#.to_owned(), BOTH),
        (
            "messages twice",
            format!(r#"{{"messages": {MESSAGES}, "messages": {MESSAGES}}}"#),
            "messages is there twice",
        ),
        (
            "messages twice, once escaped",
            format!(r#"{{"messages": {MESSAGES}, "\u006dessages": {MESSAGES}}}"#),
            "messages is there twice",
        ),
        (
            "messages nested too deeply",
            format!(r#"{{"messages": {deep}}}"#),
            "messages is nested too deeply",
        ),
    ];
    for (name, body, expected) in cases {
        let config = defaults();
        let actual = parse(body.as_bytes(), &config).map_err(message_of);
        assert_eq!(actual.unwrap_err(), expected, "{name}");
    }
}

#[test]
fn the_name_of_an_unknown_member_is_cut_off_in_the_message() {
    let name = "長".repeat(1000);
    let messages = format!(r#"[{{"role":"user","content":"a","{name}":1}}]"#);
    let config = defaults();
    let message = parse(body(&messages).as_bytes(), &config).map_err(message_of).unwrap_err();
    assert_eq!(
        message,
        format!(
            r#"messages[0] has the member "{}": expected role and content only"#,
            "長".repeat(64)
        )
    );
}

#[test]
fn a_text_of_a_conversation_without_escapes_is_borrowed() {
    let config = defaults();
    let messages = r#"[{"role":"user","content":[{"type":"text","text":"あ"}]}]"#;
    let body = body(messages);
    let request = parse(body.as_bytes(), &config).unwrap();
    let bytes = body.as_bytes().as_ptr_range();
    assert!(bytes.contains(&request.prompt().as_ptr()));
}
