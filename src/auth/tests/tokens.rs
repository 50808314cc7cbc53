use super::*;
use crate::auth::tokens::find;
use crate::config::ApiToken;

/// Parses the value of `API_TOKENS`.
fn parse(tokens: &str) -> Vec<ApiToken> {
    closed_config(&[("API_TOKENS", tokens)]).unwrap().access.tokens
}

#[test]
fn every_token_of_the_list_is_found_and_no_other() {
    let list: String = (0..40).map(|at| format!("n{at}:{}\n", hash(&format!("t{at}")))).collect();
    let tokens = parse(&list);
    for at in 0..40 {
        let found = find(&tokens, &format!("t{at}"));
        assert_eq!(found.unwrap().as_str(), format!("token:n{at}"));
    }
    for wrong in ["", "t", "t40", "T0", "t0 ", &hash("t0")] {
        assert_eq!(find(&tokens, wrong), None, "{wrong}");
    }
    assert_eq!(find(&[], ""), None);
}

#[test]
fn two_tokens_of_one_name_are_one_caller() {
    let tokens = parse(&format!("ci:{} ci:{}", hash("old"), hash("new")));
    let (old, new) = (find(&tokens, "old"), find(&tokens, "new"));
    assert_eq!(old.unwrap().as_str(), "token:ci");
    assert_eq!(new.unwrap().as_str(), "token:ci");
}

#[test]
fn different_names_are_different_callers() {
    let names = ["a", "a%20b", "a b", "é", "a\nb", "auth0|1", "a@b.example", "\"", "a,b"];
    let callers: Vec<Caller> = names.iter().map(|name| Caller::new("jwt", name)).collect();
    for (at, caller) in callers.iter().enumerate() {
        assert!(caller.as_str().bytes().all(|byte| byte.is_ascii_graphic()), "{caller:?}");
        assert_eq!(callers.iter().position(|it| it == caller), Some(at));
    }
    assert_eq!(callers[5].as_str(), "jwt:auth0|1");
    assert_eq!(callers[6].as_str(), "jwt:a@b.example");
    assert_ne!(Caller::new("token", "a"), Caller::new("jwt", "a"));
    // Ledgers are stored under it, so it must not change.
    assert_eq!(serde_json::to_string(&callers[2]).unwrap(), r#""jwt:a%20b""#);
}
