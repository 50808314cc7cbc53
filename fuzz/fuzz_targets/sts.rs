//! STS's XML: as it is, and with the input's lines as the credentials in a right answer, which must
//! come out as they went in.

#![no_main]

use std::time::{Duration, UNIX_EPOCH};

use bedrock_edge::credentials::read_answer;
use bedrock_edge::{Scope, sign};
use http::StatusCode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for status in [StatusCode::OK, StatusCode::FORBIDDEN] {
        let answer = read_answer(status, bytes, None);
        assert!(status == StatusCode::OK || answer.is_err());
        if let Ok(answer) = answer {
            assert!(answer.expires >= UNIX_EPOCH);
            assert!(format!("{answer:?}").contains("[redacted]"));
        }
    }

    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.lines();
    let mut line = || lines.next().unwrap_or_default();
    let (id, secret, token) = (line(), line(), line());
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
    let xml = format!(
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>{}</AccessKeyId>\
         <SecretAccessKey>{}</SecretAccessKey><SessionToken>{}</SessionToken>\
         <Expiration>2026-01-02T03:04:05Z</Expiration></Credentials></AssumeRoleResult>\
         </AssumeRoleResponse>",
        escaped(id),
        escaped(secret),
        escaped(token)
    );
    let is_key = |text: &str| {
        let text = text.trim();
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let answer = read_answer(StatusCode::OK, xml.as_bytes(), None);
    assert_eq!(answer.is_ok(), is_key(id) && is_key(secret) && is_key(token), "{xml}");
    let Ok(answer) = answer else { return };
    assert_eq!(answer.expires, UNIX_EPOCH + Duration::from_secs(1_767_323_045));

    let mut request = http::Request::post("https://example.com/").body("").unwrap();
    let scope = Scope { region: "us-east-1", service: "bedrock" };
    sign(&mut request, &answer.credentials, scope, answer.expires).unwrap();
    assert_eq!(request.headers()["x-amz-security-token"], token.trim());
    let authorization = request.headers()["authorization"].to_str().unwrap();
    assert!(authorization.contains(&format!("Credential={}/2026", id.trim())), "{authorization}");
});
