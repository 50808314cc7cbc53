//! Parses responses of STS: the input itself, and a valid response with the lines of the input as
//! the credentials, which must be parsed unchanged.

#![no_main]

use std::time::{Duration, UNIX_EPOCH};

use bedrock_edge::{Scope, read_assume_role, sign};
use http::StatusCode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for status in [StatusCode::OK, StatusCode::FORBIDDEN] {
        let parsed = read_assume_role(status, bytes, None);
        assert!(status == StatusCode::OK || parsed.is_err());
        if let Ok(parsed) = parsed {
            assert!(parsed.expires >= UNIX_EPOCH);
            assert!(format!("{parsed:?}").contains("[redacted]"));
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
    let is_valid = |text: &str| {
        let text = text.trim();
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let parsed = read_assume_role(StatusCode::OK, xml.as_bytes(), None);
    assert_eq!(parsed.is_ok(), is_valid(id) && is_valid(secret) && is_valid(token), "{xml}");
    let Ok(parsed) = parsed else { return };
    assert_eq!(parsed.expires, UNIX_EPOCH + Duration::from_secs(1_767_323_045));

    let mut request = http::Request::post("https://example.com/").body("").unwrap();
    let scope = Scope { region: "us-east-1", service: "bedrock" };
    sign(&mut request, &parsed.credentials, scope, parsed.expires).unwrap();
    assert_eq!(request.headers()["x-amz-security-token"], token.trim());
    let authorization = request.headers()["authorization"].to_str().unwrap();
    assert!(authorization.contains(&format!("Credential={}/2026", id.trim())), "{authorization}");
});
