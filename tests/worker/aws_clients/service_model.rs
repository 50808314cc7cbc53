//! botocore's model of Bedrock as the list of what there is: every operation is served or not, and every error has a
//! fault that plays it.

use std::collections::BTreeMap;

use bedrock_edge_tests::root;
use serde_json::{Value, json};
use tokio::process::Command;

use super::{ERRORS, STREAM_ERRORS};
use crate::support::aws_clients::worker;
use crate::support::messages::{TOKEN, installed, stdout_of};

/// The operations of `bedrock-runtime`, and whether each is served.
const RUNTIME: [(&str, bool); 11] = [
    ("ApplyGuardrail", true),
    ("Converse", true),
    ("ConverseStream", true),
    ("CountTokens", true),
    ("GetAsyncInvoke", false),
    ("InvokeGuardrailChecks", false),
    ("InvokeModel", true),
    ("InvokeModelWithBidirectionalStream", false),
    ("InvokeModelWithResponseStream", true),
    ("ListAsyncInvokes", false),
    ("StartAsyncInvoke", false),
];

/// The operations of `bedrock`, the control plane, that are served. No other is.
const CONTROL: [&str; 4] =
    ["GetFoundationModel", "GetInferenceProfile", "ListFoundationModels", "ListInferenceProfiles"];

/// The errors of `bedrock-runtime` that no served operation declares.
const OF_OTHERS: [&str; 1] = ["ConflictException"];

async fn model(service: &str) -> Value {
    let mut command = Command::new(installed("python-tools").await.join("python"));
    command.arg(root().join("tests/clients/service_model.py")).arg(service);
    serde_json::from_str(&stdout_of(&mut command).await).unwrap()
}

/// Returns a path with a value for each name in it.
fn filled(path: &str) -> String {
    let value = |name: &str| match name {
        "modelId" | "modelIdentifier" | "inferenceProfileIdentifier" => {
            "global.anthropic.claude-opus-5-5"
        }
        "guardrailVersion" => "1",
        _ => "abc123",
    };
    let mut filled = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').unwrap();
        filled.push_str(before);
        filled.push_str(value(name.trim_end_matches('+')));
        rest = after;
    }
    filled + rest
}

/// Calls every operation of a service with a valid token and an empty body. Returns which are served, by name.
async fn served(service: &str) -> BTreeMap<String, bool> {
    let (fixture, _) = worker(&json!({})).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut served = BTreeMap::new();
    for (name, operation) in model(service).await["operations"].as_object().unwrap() {
        let [method, path] = ["method", "path"].map(|key| operation[key].as_str().unwrap());
        let url = format!("http://{}{}", fixture.worker.address, filled(path));
        let request = client
            .request(method.parse().unwrap(), url)
            .header("authorization", format!("Bearer {TOKEN}"))
            .header("content-type", "application/json");
        let request = if method == "GET" { request } else { request.body("{}") };
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let kind = response.headers().get("x-amzn-errortype");
        let kind = kind.map(|it| it.to_str().unwrap().split(':').next().unwrap().to_owned());
        let is_unknown = kind.as_deref() == Some("UnknownOperationException");
        if service == "bedrock-runtime" {
            // What is not served is an error of AWS's: an SDK reads nothing else.
            assert!(status == 200 || kind.is_some(), "{name}: {status}");
            assert!(!is_unknown || status == 404, "{name}: {status}");
        }
        let is_there = status == 200 || kind.is_some() && !is_unknown;
        assert!(is_there || status >= 400, "{name}: {status}");
        served.insert(name.clone(), is_there);
    }
    served
}

#[tokio::test]
async fn each_operation_of_the_runtime_is_served_or_unknown_as_listed() {
    let expected = RUNTIME.map(|(name, is_served)| (name.to_owned(), is_served));
    assert_eq!(served("bedrock-runtime").await, BTreeMap::from(expected));
}

#[tokio::test]
async fn of_the_control_plane_only_the_catalog_is_served() {
    let all = served("bedrock").await;
    assert!(all.len() > 100, "{}", all.len());
    let served: Vec<&String> = all.iter().filter(|(_, is)| **is).map(|(name, _)| name).collect();
    assert_eq!(served, CONTROL);
}

#[tokio::test]
async fn every_declared_error_has_a_fault_with_its_status() {
    let model = model("bedrock-runtime").await;
    let mut known: BTreeMap<String, Option<u16>> = BTreeMap::new();
    known.extend(ERRORS.map(|(_, name, status)| (name.to_owned(), Some(status))));
    known.extend(OF_OTHERS.map(|name| (name.to_owned(), None)));
    for (_, name) in STREAM_ERRORS {
        let name = name[..1].to_uppercase() + &name[1..];
        known.entry(name).or_insert(None);
    }
    let declared = model["errors"].as_object().unwrap();
    let names: Vec<&String> = declared.keys().collect();
    assert_eq!(known.keys().collect::<Vec<_>>(), names);
    for (name, status) in known {
        if let Some(status) = status {
            assert_eq!(declared[&name], status, "{name}");
        }
    }
    // The operations that are served declare no error beyond those.
    for (name, is_served) in RUNTIME {
        for error in model["operations"][name]["errors"].as_array().unwrap() {
            let error = error.as_str().unwrap();
            assert!(!is_served || !OF_OTHERS.contains(&error), "{name}: {error}");
        }
    }
}
