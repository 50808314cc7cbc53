//! Parses `Authorization: AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`.

use super::refusals::incomplete;
use crate::auth::refusal::Refusal;
use crate::aws::Scope;
use crate::aws::sigv4::ALGORITHM;

/// The parts of the header. Each occurs once, and there are no others.
#[derive(Debug)]
pub(super) struct Authorization<'a> {
    pub id: &'a str,
    /// The day, such as `20150830`. It is not checked yet.
    pub date: &'a str,
    pub scope: Scope<'a>,
    /// The names of the signed headers, in lower case, in ascending order, each once: as every signer writes them,
    /// and as the canonical request has them.
    pub signed_headers: Vec<&'a str>,
    pub signature: &'a str,
}

impl<'a> Authorization<'a> {
    pub(super) fn parse(value: &'a str) -> Result<Self, Refusal> {
        let malformed = || {
            let message = "Authorization header requires 'Credential', 'Signature' and \
                           'SignedHeaders' parameters, each once.";
            incomplete(message, "the Authorization header is malformed")
        };
        let parameters = value.strip_prefix(ALGORITHM).ok_or_else(malformed)?;
        let (mut credential, mut headers, mut signature) = (None, None, None);
        for parameter in parameters.split(',') {
            let (name, value) = parameter.trim().split_once('=').ok_or_else(malformed)?;
            let place = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut headers,
                "Signature" => &mut signature,
                _ => return Err(malformed()),
            };
            if place.replace(value).is_some() {
                return Err(malformed());
            }
        }
        let (Some(credential), Some(headers), Some(signature)) = (credential, headers, signature)
        else {
            return Err(malformed());
        };

        let elements: Vec<&str> = credential.split('/').collect();
        let [id, date, region, service, "aws4_request"] = *elements else {
            let message = "Credential must have exactly 5 slash-delimited elements, e.g. \
                           keyid/date/region/service/aws4_request.";
            return Err(incomplete(message, "the Credential is malformed"));
        };

        let signed_headers: Vec<&str> = headers.split(';').collect();
        let is_name =
            |name: &&str| !name.is_empty() && !name.bytes().any(|it| it.is_ascii_uppercase());
        if !signed_headers.iter().all(is_name) || !signed_headers.is_sorted_by(|a, b| a < b) {
            let message = "SignedHeaders must be names in lower case, sorted, each once.";
            return Err(incomplete(message, "the SignedHeaders are malformed"));
        }
        Ok(Self { id, date, scope: Scope { region, service }, signed_headers, signature })
    }
}
