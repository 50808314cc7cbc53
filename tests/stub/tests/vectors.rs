//! botocore's test vectors (`tests/vectors`), run with the canonicalization of this crate.

use std::fs;
use std::path::Path;

use bedrock_stub::Received;
use bedrock_stub::sigv4::{
    Authorization, PathEncoding, canonical_request, signature, string_to_sign,
};
use serde_json::Value;

#[test]
fn every_vector_of_botocore_is_reproduced() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors");
    let mut vectors = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let vector = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            assert_eq!(path.file_stem().unwrap().to_str(), vector_text(&vector, "case"));
            reproduce(&vector);
            vectors += 1;
        }
    }
    assert!(vectors >= 5, "only {vectors} vectors");
}

fn vector_text<'a>(vector: &'a Value, key: &str) -> Option<&'a str> {
    vector[key].as_str()
}

fn reproduce(vector: &Value) {
    let text = |key| vector_text(vector, key).unwrap_or_else(|| panic!("{key}: expected a string"));
    let case = text("case");
    let (_, address) = text("url").split_once("://").unwrap();
    let (host, target) = address.split_at(address.find('/').unwrap());
    let time = text("time").replace(['-', ':'], "");

    let mut headers =
        vec![("host".to_owned(), host.to_owned()), ("x-amz-date".to_owned(), time.clone())];
    for (name, value) in vector["headers"].as_object().unwrap() {
        headers.push((name.clone(), value.as_str().unwrap().to_owned()));
    }
    if let Some(token) = vector_text(vector, "session_token") {
        headers.push(("x-amz-security-token".to_owned(), token.to_owned()));
    }
    let received = Received {
        method: text("method").to_owned(),
        target: target.to_owned(),
        headers,
        body: text("body").as_bytes().to_vec(),
    };
    let authorization = Authorization::parse(text("authorization")).unwrap();
    let scope = &authorization.scope;
    assert_eq!(authorization.access_key_id, text("access_key_id"), "{case}");
    assert_eq!(scope.region, text("region"), "{case}");
    assert_eq!(scope.service, text("service"), "{case}");

    let canonical =
        canonical_request(&received, &authorization.signed_headers, PathEncoding::Twice, true);
    assert_eq!(canonical, text("canonical_request"), "{case}: canonical request");
    let to_sign = string_to_sign(&time, scope, &canonical);
    assert_eq!(to_sign, text("string_to_sign"), "{case}: string to sign");
    let signature = signature(text("secret_access_key"), scope, &to_sign);
    assert_eq!(signature, authorization.signature, "{case}: signature");
}
