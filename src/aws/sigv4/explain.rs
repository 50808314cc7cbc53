//! Explains why AWS refused a signature: where the canonical request that AWS made of what it received differs
//! from ours.
//!
//! It runs only after a refusal, on a request that is signed once more.

use http::Request;
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};

use super::canonical::canonical_request;
use crate::hex::to_hex;

/// Describes the first line in which AWS's canonical request, quoted in its message, differs from ours. Returns
/// `None` if the message quotes none. A line can hold the session token, behind the name of its header. AWS's line is left
/// out if it cannot be one of a canonical request.
pub(crate) fn explain<B: AsRef<[u8]>>(message: &str, signed: &Request<B>) -> Option<String> {
    let (_, theirs) =
        message.split_once("The Canonical String for this request should have been")?;
    let theirs = theirs.trim_start().strip_prefix('\'')?;
    // A quotation mark inside the canonical request is not followed by a line break.
    let theirs = theirs.split_once("'\n").map_or(theirs, |(theirs, _)| theirs);
    let ours = canonical_request_of(signed)?;
    let (mut ours, mut theirs) = (ours.split('\n'), theirs.trim_end_matches('\'').split('\n'));
    for number in 1.. {
        return Some(match (ours.next(), theirs.next()) {
            (None, None) => {
                "the canonical request is the same, so the secret access key is not".to_owned()
            }
            (ours, theirs) if ours == theirs => continue,
            (ours, theirs) => {
                let ours = ours.unwrap_or(ENDED).to_owned();
                let theirs = match theirs {
                    None => ENDED.to_owned(),
                    Some(line) if is_canonical(line) => line.to_owned(),
                    Some(line) => format!("({} bytes)", line.len()),
                };
                format!("line {number} of the canonical request\nours: {ours}\nAWS's: {theirs}\n")
            }
        });
    }
    None
}

const ENDED: &str = "(it has ended)";

/// Reports whether a line can be one of the canonical request of a call: it has no spaces and is not long.
fn is_canonical(line: &str) -> bool {
    line.len() <= 512 && line.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Returns the whole canonical request of a signed request.
fn canonical_request_of<B: AsRef<[u8]>>(signed: &Request<B>) -> Option<String> {
    let authorization = signed.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (_, names) = authorization.split_once("SignedHeaders=")?;
    let (names, _) = names.split_once(',')?;
    let value = |name| match name {
        "host" => Some(signed.uri().authority()?.as_str()),
        _ => signed.headers().get(name)?.to_str().ok(),
    };
    let headers = names.split(';').map(|name| Some((name, value(name)?)));
    let headers: Vec<(&str, &str)> = headers.collect::<Option<_>>()?;
    let uri = signed.uri();
    let query = uri.query().unwrap_or_default();
    let canonical = canonical_request(signed.method().as_str(), uri.path(), query, &headers);
    let hash = to_hex(&Sha256::digest(signed.body().as_ref()).into());
    Some(format!("{canonical}\n{}", str::from_utf8(&hash).ok()?))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::aws::{Credentials, Scope, sign};

    fn signed() -> Request<&'static str> {
        let uri = "https://bedrock-runtime.us-east-1.amazonaws.com/model/m%3A0/invoke";
        let mut request = Request::post(uri)
            .header("accept", "application/json")
            .header("content-type", "application/json")
            .body("{}")
            .unwrap();
        let credentials = Credentials::new("AKIAIOSFODNN7EXAMPLE", "secret", Some("token".into()));
        let scope = Scope { region: "us-east-1", service: "bedrock" };
        let now = UNIX_EPOCH + Duration::from_secs(1_440_938_160);
        sign(&mut request, &credentials, scope, now).unwrap();
        request
    }

    const OURS: &str = "POST\n/model/m%253A0/invoke\n\naccept:application/json\n\
                        content-type:application/json\n\
                        host:bedrock-runtime.us-east-1.amazonaws.com\n\
                        x-amz-date:20150830T123600Z\nx-amz-security-token:token\n\n\
                        accept;content-type;host;x-amz-date;x-amz-security-token\n\
                        44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    /// Makes AWS's message about a signature.
    fn message(canonical: &str) -> String {
        format!(
            "The request signature we calculated does not match the signature you provided. Check \
             your AWS Secret Access Key and signing method. Consult the service documentation for \
             details.\n\nThe Canonical String for this request should have been\n'{canonical}'\n\n\
             The String-to-Sign should have been\n'AWS4-HMAC-SHA256\n20150830T123600Z\n\
             20150830/us-east-1/bedrock/aws4_request\n\
             816cd5b414d056048ba4f7c5386d6e0533120fb1fcfa93762cf0fc39e2cf19e0'\n"
        )
    }

    #[test]
    fn the_canonical_request_is_the_one_that_was_signed() {
        assert_eq!(canonical_request_of(&signed()).as_deref(), Some(OURS));
    }

    #[test]
    fn the_explanation_names_the_first_line_that_differs() {
        let path = OURS.replace("%253A", "%3A");
        let host = OURS.replace("host:bedrock-runtime", "host:proxy");
        let token = OURS.replace("security-token:token", "security-token:other");
        let added = OURS.replace("host:", "content-length:2\nhost:");
        let body = OURS.replace("44136fa3", "e3b0c442");
        let cut = OURS.split_at(30).0;
        let sentence = OURS.replace("accept:application/json", "an odd sentence");
        for (name, theirs, expected) in [
            ("none", OURS, "the canonical request is the same, so the secret access key is not"),
            (
                "the path",
                &path,
                "line 2 of the canonical request\nours: /model/m%253A0/invoke\n\
                 AWS's: /model/m%3A0/invoke\n",
            ),
            (
                "a header",
                &host,
                "line 6 of the canonical request\nours: host:bedrock-runtime.us-east-1.amazonaws.com\n\
                 AWS's: host:proxy.us-east-1.amazonaws.com\n",
            ),
            (
                "a token",
                &token,
                "line 8 of the canonical request\nours: x-amz-security-token:token\n\
                 AWS's: x-amz-security-token:other\n",
            ),
            (
                "one more header",
                &added,
                "line 6 of the canonical request\nours: host:bedrock-runtime.us-east-1.amazonaws.com\n\
                 AWS's: content-length:2\n",
            ),
            (
                "the body",
                &body,
                "line 11 of the canonical request\n\
                 ours: 44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\n\
                 AWS's: e3b0c44255b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\n",
            ),
            (
                "a sentence",
                &sentence,
                "line 4 of the canonical request\nours: accept:application/json\nAWS's: (15 bytes)\n",
            ),
            (
                "an end",
                cut,
                "line 4 of the canonical request\nours: accept:application/json\nAWS's: ac\n",
            ),
        ] {
            assert_eq!(explain(&message(theirs), &signed()).as_deref(), Some(expected), "{name}");
        }
        for (name, message) in [
            ("no canonical request", "Signature expired: 20150830T123600Z is now earlier than"),
            ("half a message", "The Canonical String for this request should have been"),
            ("nothing", ""),
        ] {
            assert_eq!(explain(message, &signed()), None, "{name}");
        }
    }
}
