use super::*;
use crate::gate::tokens::Tokens;

#[test]
fn every_entry_is_found_and_nothing_else() {
    let list: String = (0..40).map(|at| format!("n{at}:{}\n", hash(&format!("t{at}")))).collect();
    let tokens = Tokens::parse(&list).unwrap();
    for at in 0..40 {
        let found = tokens.find(&format!("t{at}"));
        assert_eq!(found.unwrap().as_str(), format!("token:n{at}"));
    }
    for wrong in ["", "t", "t40", "T0", "t0 ", &hash("t0")] {
        assert_eq!(tokens.find(wrong), None, "{wrong}");
    }
    assert_eq!(Tokens::default().find(""), None);
}

#[test]
fn two_tokens_of_one_name_are_one_caller() {
    let list = format!("ci:{} ci:{}", hash("old"), hash("new"));
    let tokens = Tokens::parse(&list).unwrap();
    assert_eq!(tokens.find("old"), tokens.find("new"));
}

#[test]
fn names_of_callers_stay_apart() {
    let names = ["a", "a%20b", "a b", "é", "a\nb", "auth0|1", "a@b.example", "\"", "a,b"];
    let callers: Vec<Caller> = names.iter().map(|name| Caller::new("jwt", name)).collect();
    for (at, caller) in callers.iter().enumerate() {
        assert!(caller.as_str().bytes().all(|byte| byte.is_ascii_graphic()), "{caller:?}");
        assert_eq!(callers.iter().position(|it| it == caller), Some(at));
    }
    assert_eq!(callers[5].as_str(), "jwt:auth0|1");
    assert_eq!(callers[6].as_str(), "jwt:a@b.example");
    assert_ne!(Caller::new("token", "a"), Caller::new("jwt", "a"));
    // What limits are counted by is stored: this must stay.
    assert_eq!(serde_json::to_string(&callers[2]).unwrap(), r#""jwt:a%20b""#);
}
