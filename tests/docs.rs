//! Checks the documents: the size of the README, its translation, links, paths, and that the reference
//! is complete.
//!
//! A check is a function of texts, so that a test beside it can plant a mistake.
//!
//! Out of scope: the commands (tests/dev.rs, tests/examples), and whether a sentence is true.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Component, Path, PathBuf};

use bedrock_edge_tests::root;
use reqwest::StatusCode;

const README_WORDS: usize = 1000;

#[test]
fn readme_has_at_most_1000_words() {
    let words = word_count(&read("README.md"));
    assert!(words <= README_WORDS, "README.md has {words} words");
}

#[test]
fn words_are_counted_as_wc_does_with_code_blocks_included() {
    assert_eq!(word_count("# One two\n\n```console\n$ three\n```\n"), 7);
}

#[test]
fn the_japanese_readme_has_the_code_blocks_of_the_english_one() {
    let problems = differing_code_blocks(&read("README.md"), &read("README.ja.md"));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_code_block_that_differs_is_missing_or_is_in_another_place_is_found() {
    let block = |text: &str| format!("Words.\n\n```console\n$ {text}\n```\n\n");
    let original = block("one") + &block("two");
    let other_language = original.replace("Words", "言葉");
    assert_eq!(differing_code_blocks(&original, &other_language), [""; 0]);
    for (case, translated) in [
        ("one byte differs", block("one") + &block("two ")),
        ("the language differs", original.replacen("console", "sh", 1)),
        ("one is missing", block("one")),
        ("one is added", original.clone() + &block("three")),
        ("another order", block("two") + &block("one")),
    ] {
        assert!(!differing_code_blocks(&original, &translated).is_empty(), "{case}");
    }
}

#[test]
fn every_relative_link_and_anchor_of_the_documents_leads_somewhere() {
    let documents = documents();
    assert!(documents.len() >= 9, "{documents:?}");
    let problems: Vec<String> =
        documents.iter().flat_map(|document| broken_links(document, &read(document))).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_planted_broken_link_or_anchor_is_found() {
    for (case, text) in [
        ("a file that is missing", "[x](docs/absent.md)"),
        ("an image that is missing", "![x](docs/absent.svg)"),
        ("a file outside the repository", "[x](../absent.md)"),
        ("an anchor in this file", "# Here\n\n[x](#there)"),
        ("an anchor in another file", "[x](LICENSE-MIT#absent)"),
        ("an anchor of a heading in a code block", "```\n# Here\n```\n[x](#here)"),
        ("a text with code in it", "[`x`](docs/absent.md)"),
        ("a text over two lines", "[x\ny](docs/absent.md)"),
        ("a link with a title", "[x](docs/absent.md \"title\")"),
        ("a definition", "[x]: docs/absent.md"),
        ("the second of two", "[x](LICENSE-MIT) [y](docs/absent.md)"),
    ] {
        assert_eq!(broken_links("README.md", text).len(), 1, "{case}");
    }
    assert_eq!(broken_links("docs/guide.md", "[x](LICENSE-MIT)").len(), 1, "relative to the file");
}

#[test]
fn a_link_that_leads_somewhere_is_not_reported() {
    for (case, document, text) in [
        ("a file", "README.md", "[x](LICENSE-MIT)"),
        ("a folder", "README.md", "[x](examples/lambda)"),
        ("a file above", "docs/guide.md", "[x](../LICENSE-MIT)"),
        ("an anchor", "README.md", "## `HERE` and now, 今日は\n\n[x](#here-and-now-今日は)"),
        ("the second of two headings", "README.md", "# A\n# A\n[x](#a-1)"),
        ("another site", "README.md", "[x](https://example.com/absent.md)"),
        ("code", "README.md", "`[x](absent.md)`"),
        ("a code block", "README.md", "```\n[x](absent.md)\n```"),
    ] {
        assert_eq!(broken_links(document, text), [""; 0], "{case}");
    }
}

#[test]
fn every_path_that_a_document_names_exists() {
    let problems: Vec<String> =
        documents().iter().flat_map(|document| missing_paths(document, &read(document))).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_path_is_a_code_span_that_begins_with_a_folder_of_the_repository() {
    let text =
        "`src/absent.rs`, `src/lib.rs`, `scripts`, `absent.rs`, `src/**/tests.rs`, `src/a b`";
    assert_eq!(missing_paths("README.md", text), ["README.md: src/absent.rs does not exist"]);
    assert_eq!(missing_paths("README.md", "```\n`src/absent.rs`\n```"), [""; 0]);
}

#[test]
fn the_reference_lists_exactly_the_error_codes_of_the_source_with_status_and_retryability() {
    let codes = error_codes(&read("src/error.rs"));
    assert!(codes.len() > 20 && codes.contains("throttled 500 yes"), "{codes:?}");
    let rows = rows(&section(&read("docs/reference.md"), "Error codes"));
    let documented = rows.iter().map(|cells| cells[..3].join(" ")).collect();
    assert_eq!(differences(&documented, &codes), [""; 0]);
}

#[test]
fn the_types_of_the_npm_package_have_exactly_the_error_codes_of_the_source() {
    let types = read("npm/index.d.ts");
    let (_, union) = types.split_once("export type ErrorCode =").unwrap();
    let (union, _) = union.split_once(';').unwrap();
    let typed: BTreeSet<String> = union.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    let codes = error_codes(&read("src/error.rs"));
    let codes = codes.iter().map(|row| row.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(differences(&typed, &codes), [""; 0]);
}

#[test]
fn an_entry_that_only_the_reference_or_only_the_source_has_is_found() {
    let (documented, source) = (set(&["both", "stale"]), set(&["both", "new"]));
    let expected = ["`new` is not in docs/reference.md", "`stale` is in docs/reference.md only"];
    assert_eq!(differences(&documented, &source), expected);
}

#[test]
fn an_error_code_is_a_row_of_the_table_in_the_source() {
    let source = r#"
macro_rules! codes { ($code:ident "in_the_macro" OK PERMANENT "Exception";) => {}; }
codes! {
    /// Not "in_a_comment" OK PERMANENT "Exception";
    Throttled "throttled" INTERNAL_SERVER_ERROR TRANSIENT "ServiceException";
    NotFound "not_found" NOT_FOUND PERMANENT "InvalidRequestContentException";
}
Behind "behind" OK PERMANENT "Exception";
"#;
    assert_eq!(error_codes(source), set(&["throttled 500 yes", "not_found 404 no"]));
}

#[test]
fn the_reference_lists_exactly_the_response_headers_of_the_source_with_their_exposure() {
    let headers = response_headers(&read("src/headers.rs"));
    assert!(headers.len() > 10 && headers.contains("x-error-code yes"), "{headers:?}");
    let rows = rows(&section(&read("docs/reference.md"), "Response headers"));
    // The browser itself exposes what pages may read always.
    let documented = rows.iter().map(|cells| cells[..2].join(" ").replace(" always", " no"));
    assert_eq!(differences(&documented.collect(), &headers), [""; 0]);
}

#[test]
fn a_response_header_is_a_row_of_the_table_in_the_source() {
    let source = r#"
const REQUEST: [(HeaderName, bool); 1] = [
    ("x-api-key", true),
];
/// Not ("x-comment", EXPOSED).
const RESPONSE: [ResponseHeader; 3] = [
    ("Content-Type", NOT_EXPOSED),
    // ("x-comment", EXPOSED),
    ("x-error-code", EXPOSED),
];
const OTHERS: &[(&str, bool)] = &[
    ("x-other", true),
];
"#;
    assert_eq!(response_headers(source), set(&["content-type no", "x-error-code yes"]));
}

#[test]
fn the_reference_lists_exactly_the_models_of_the_source() {
    let models = models(&read("src/claude/models.rs"));
    assert!(models.len() > 10, "{models:?}");
    let rows = rows(&section(&read("docs/reference.md"), "Models"));
    let documented = rows.iter().map(|cells| cells[..2].join(" ")).collect();
    assert_eq!(differences(&documented, &models), [""; 0]);
}

#[test]
fn a_model_is_a_row_of_the_table_in_the_source() {
    let source = r#"
const MODELS: [Model; 2] = [
    other("claude-opus-5", "claude-opus-5", &["us"], OF_5),
    row("claude-opus-4-6", "claude-opus-4-6-v1", &[Prefill]),
];
const OTHERS: [Model; 1] = [
    row("other", "other-v1", &[]),
];
"#;
    let expected = set(&["claude-opus-5 claude-opus-5", "claude-opus-4-6 claude-opus-4-6-v1"]);
    assert_eq!(models(source), expected);
}

#[test]
fn the_reference_lists_every_variable_that_the_configuration_reads() {
    let sources = sources_below("src/config");
    let variables: BTreeSet<String> = sources.iter().flat_map(|it| variables(it)).collect();
    assert!(variables.len() > 10 && variables.contains("MAX_TOKENS"), "{variables:?}");
    let reference = read("docs/reference.md");
    let mut documented = names(&rows(&section(&reference, "Variables")));
    documented.extend(names(&rows(&section(&reference, "Bindings"))));
    let missing: Vec<&String> = variables.difference(&documented).collect();
    assert!(missing.is_empty(), "not in docs/reference.md: {missing:?}");

    let sources = sources_below("src");
    let variables: BTreeSet<String> =
        sources.iter().flat_map(|it| variables_and_bindings(it)).collect();
    let stale: Vec<&String> = documented.difference(&variables).collect();
    assert!(stale.is_empty(), "in docs/reference.md, and read nowhere: {stale:?}");
}

#[test]
fn a_variable_is_a_name_in_capitals_that_the_code_has_in_a_string() {
    let source = r#"
        // "IN_A_COMMENT"
        let max = vars.read("MAX_TOKENS", "100", |text| text.split('"').next());
        let url = vars.non_empty("AWS_ENDPOINT_URL_STS");
        const NOT_QUOTED: u32 = 5;
        Err("must be a URL such as HTTPS")
        #[cfg(test)]
        mod tests { const TEST: &str = "OF_A_TEST"; }
    "#;
    assert_eq!(variables(source), set(&["MAX_TOKENS", "AWS_ENDPOINT_URL_STS"]));
}

#[test]
fn an_entry_of_the_reference_is_a_row_whose_first_cell_has_code() {
    let text = "\
# Variables

| name | |
| --- | --- |
| `ONE`, `TWO` | not `THREE` |
| no code | `FOUR` |

## Below

| `FIVE` | |

# Next

| `SIX` | |
";
    let rows = rows(&section(text, "Variables"));
    assert_eq!(rows, [["ONE, TWO", "not THREE"], ["FIVE", ""]]);
    assert_eq!(names(&rows), set(&["ONE", "TWO", "FIVE"]));
    assert_eq!(section(text, "Absent"), "");
}

// --- Documents ----------------------------------------------------------------------------------

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Lists the documents as paths from the root.
fn documents() -> Vec<String> {
    let mut documents: Vec<String> =
        ["README.md", "README.ja.md", "CONTRIBUTING.md"].map(str::to_owned).into();
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") {
            documents.push(format!("docs/{name}"));
        }
    }
    documents
}

fn word_count(text: &str) -> usize {
    text.split_whitespace().count()
}

/// Splits a document into its fenced code blocks, with their fences, and the text around them.
fn split_code_blocks(text: &str) -> (Vec<String>, String) {
    let (mut blocks, mut rest) = (Vec::new(), String::new());
    let mut open: Option<String> = None;
    for line in text.lines() {
        let is_fence = line.trim_start().starts_with("```");
        match &mut open {
            None if is_fence => open = Some(format!("{line}\n")),
            None => rest.extend([line, "\n"]),
            Some(block) => {
                block.extend([line, "\n"]);
                if is_fence {
                    blocks.extend(open.take());
                }
            }
        }
    }
    assert_eq!(open, None, "a code block has no end");
    (blocks, rest)
}

fn differing_code_blocks(original: &str, translated: &str) -> Vec<String> {
    let (original, translated) = (split_code_blocks(original).0, split_code_blocks(translated).0);
    let mut problems: Vec<String> = original
        .iter()
        .zip(&translated)
        .enumerate()
        .filter(|(_, (original, translated))| original != translated)
        .map(|(at, (original, translated))| {
            format!("code block {}: expected\n{original}got\n{translated}", at + 1)
        })
        .collect();
    if original.len() != translated.len() {
        let (expected, got) = (original.len(), translated.len());
        problems.push(format!("expected {expected} code blocks, got {got}"));
    }
    problems
}

/// Returns the text below a heading, up to the next one of the same or a higher level.
fn section(text: &str, heading: &str) -> String {
    let level = |line: &str| line.bytes().take_while(|byte| *byte == b'#').count();
    let mut lines = text.lines();
    let Some(found) =
        lines.find(|line| level(line) > 0 && line.trim_start_matches('#').trim() == heading)
    else {
        return String::new();
    };
    let is_end = |line: &&str| (1..=level(found)).contains(&level(line));
    lines.take_while(|line| !is_end(line)).flat_map(|line| [line, "\n"]).collect()
}

/// Returns the cells of the rows of tables whose first cell has code, without the backticks.
fn rows(text: &str) -> Vec<Vec<String>> {
    let rows = text.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    let rows = rows.filter(|row| row.trim_start().starts_with('`'));
    rows.map(|row| row.split('|').map(|cell| cell.trim().replace('`', "")).collect()).collect()
}

/// Returns the names in the first cells of rows, which are separated by commas.
fn names(rows: &[Vec<String>]) -> BTreeSet<String> {
    rows.iter().flat_map(|cells| cells[0].split(", ")).map(str::to_owned).collect()
}

/// Compares the entries of the reference with those of the source.
fn differences(documented: &BTreeSet<String>, source: &BTreeSet<String>) -> Vec<String> {
    let missing = source.difference(documented);
    let missing = missing.map(|it| format!("`{it}` is not in docs/reference.md"));
    let stale = documented.difference(source);
    missing.chain(stale.map(|it| format!("`{it}` is in docs/reference.md only"))).collect()
}

// --- Links --------------------------------------------------------------------------------------

/// Lists the relative links of a document that lead nowhere.
fn broken_links(document: &str, text: &str) -> Vec<String> {
    let links = links(text).into_iter().filter(|link| !link.contains("://"));
    links
        .filter_map(|link| {
            let problem = problem_of(document, text, &link)?;
            Some(format!("{document}: {link}: {problem}"))
        })
        .collect()
}

fn problem_of(document: &str, text: &str, link: &str) -> Option<&'static str> {
    let (path, anchor) = match link.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor)),
        None => (link, None),
    };
    let text = if path.is_empty() {
        text.to_owned()
    } else {
        let Some(path) = resolved(document, path) else { return Some("it is outside") };
        let path = root().join(path);
        if !path.exists() {
            return Some("there is no such file");
        }
        fs::read_to_string(path).unwrap_or_default()
    };
    let is_there = anchor.is_none_or(|anchor| anchors(&text).contains(anchor));
    (!is_there).then_some("there is no such heading")
}

/// Resolves a path that a document names into one from the root. `None` if it leads out of the
/// repository.
fn resolved(document: &str, path: &str) -> Option<PathBuf> {
    let mut resolved = Path::new(document).parent()?.to_owned();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => resolved.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !resolved.pop() {
                    return None;
                }
            }
            _ => return None,
        }
    }
    Some(resolved)
}

/// Lists the targets of links, images and definitions, outside of code.
fn links(text: &str) -> Vec<String> {
    let text = without_code_spans(&split_code_blocks(text).1);
    let inline = text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ', '\n']).next());
    let definitions = text.lines().filter_map(|line| {
        let (_, target) = line.strip_prefix('[')?.split_once("]: ")?;
        target.split(' ').next()
    });
    inline.chain(definitions).map(str::to_owned).collect()
}

/// Lists the paths in code spans that do not exist.
fn missing_paths(document: &str, text: &str) -> Vec<String> {
    const FOLDERS: [&str; 7] = ["benches", "docs", "examples", "fuzz", "scripts", "src", "tests"];
    let text = split_code_blocks(text).1;
    let spans = text.split('`').skip(1).step_by(2);
    let is_path = |span: &&str| {
        let is_below = FOLDERS.iter().any(|it| span.starts_with(&format!("{it}/")));
        is_below && !span.contains(['*', ' ', '\n'])
    };
    let missing = spans.filter(is_path).filter(|span| !root().join(span).exists());
    missing.map(|span| format!("{document}: {span} does not exist")).collect()
}

fn without_code_spans(text: &str) -> String {
    text.split('`').step_by(2).collect()
}

/// Returns the anchors that GitHub gives a document's headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let text = split_code_blocks(text).1;
    let mut seen: HashMap<String, usize> = HashMap::new();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title.chars().filter_map(|it| match it {
                ' ' => Some('-'),
                '-' | '_' => Some(it),
                _ => it.is_alphanumeric().then_some(it),
            });
            let anchor: String = kept.collect();
            let count = seen.entry(anchor.clone()).and_modify(|it| *it += 1).or_default();
            if *count == 0 { anchor } else { format!("{anchor}-{count}") }
        })
        .collect()
}

// --- Sources ------------------------------------------------------------------------------------

/// Reads `PATH.rs` and the sources below the folder `PATH`, without files of tests.
fn sources_below(path: &str) -> Vec<String> {
    let mut sources = Vec::new();
    let file = root().join(path).with_extension("rs");
    sources.extend(fs::read_to_string(file));
    let mut folders = vec![root().join(path)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.file_stem().is_some_and(|stem| stem == "tests") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| ["rs", "js"].iter().any(|it| extension == *it))
            {
                sources.extend(fs::read_to_string(path));
            }
        }
    }
    sources
}

/// Returns the rows of the table of error codes: name, status, and whether the code is retryable.
fn error_codes(source: &str) -> BTreeSet<String> {
    let table = between(source, "\ncodes! {\n", "\n}");
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter_map(|row| {
        let [_, name, status, retry, ..] = *row else { return None };
        let name = name.strip_prefix('"')?.strip_suffix('"')?;
        let is_retryable = if retry == "TRANSIENT" { "yes" } else { "no" };
        Some(format!("{name} {} {is_retryable}", status_of(status)?))
    })
    .collect()
}

/// Returns the number of a constant of `StatusCode`.
fn status_of(constant: &str) -> Option<u16> {
    (100..600).find(|number| {
        let reason = StatusCode::from_u16(*number).ok().and_then(|it| it.canonical_reason());
        reason.is_some_and(|reason| reason.to_uppercase().replace(' ', "_") == constant)
    })
}

/// Returns the rows of the table of response headers: name, and whether pages may read it.
fn response_headers(source: &str) -> BTreeSet<String> {
    let table = between(source, "\nconst RESPONSE: ", "\n];");
    let rows = table.lines().filter_map(|line| line.trim().strip_prefix("(\"")?.split_once("\", "));
    rows.map(|(name, exposed)| {
        let is_exposed = if exposed.starts_with("EXPOSED") { "yes" } else { "no" };
        format!("{} {is_exposed}", name.to_lowercase())
    })
    .collect()
}

/// Returns the rows of the table of models: name and id.
fn models(source: &str) -> BTreeSet<String> {
    let table = between(source, "\nconst MODELS: ", "\n];");
    let row = |line: &'_ str| ["row(", "other("].iter().any(|start| line.trim().starts_with(start));
    let rows = table.lines().filter(|line| row(line));
    let texts = rows.map(strings).filter(|texts| texts.len() >= 2);
    texts.map(|texts| texts[..2].join(" ")).collect()
}

/// Returns the text between two others, or nothing.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let text = text.split_once(start).map_or("", |(_, rest)| rest);
    text.split_once(end).map_or("", |(table, _)| table)
}

/// Returns the strings in capitals. In src/config only variables are written so.
fn variables(source: &str) -> BTreeSet<String> {
    strings(source).into_iter().filter(|text| is_in_capitals(text)).collect()
}

/// Returns in addition the bindings, which JavaScript takes from the environment.
fn variables_and_bindings(source: &str) -> BTreeSet<String> {
    let words = source.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
    let bindings = words.filter(|word| ["LEDGER", "RATE_LIMITER", "SESSIONS"].contains(word));
    variables(source).into_iter().chain(bindings.map(str::to_owned)).collect()
}

fn is_in_capitals(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    text.len() >= 4
        && !text.starts_with(|it: char| it.is_ascii_digit())
        && text.bytes().all(is_allowed)
}

/// Returns the contents of the string literals in Rust code before its unit tests, without comments.
fn strings(source: &str) -> Vec<String> {
    let tests = source.match_indices("#[cfg(test)]").map(|(at, mark)| (at, at + mark.len()));
    let tests = tests.filter(|(_, end)| source[*end..].trim_start().starts_with("mod tests"));
    let source = tests.map(|(at, _)| at).next().map_or(source, |at| &source[..at]);
    let mut strings = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find(['"', '\'', '/']) {
        let tail = &rest[at..];
        rest = if let Some(comment) = tail.strip_prefix("//") {
            comment.split_once('\n').map_or("", |(_, rest)| rest)
        } else if tail.starts_with('\'') {
            // A character that could be taken for a delimiter. Anything else may be a lifetime.
            let quoted = ["'\"'", "'\\''", "'\\\\'"].iter().find(|it| tail.starts_with(**it));
            &tail[quoted.map_or(1, |it| it.len())..]
        } else if let Some(text) = tail.strip_prefix('"') {
            let hashes = hashes_of_raw_string(&rest[..at]);
            let end = string_end(text, hashes);
            strings.push(text[..end].to_owned());
            text.get(end + 1..).unwrap_or_default()
        } else {
            &tail[1..]
        };
    }
    strings
}

/// Counts the `#` before the quotation mark of a raw string. `None` if the string is not raw.
fn hashes_of_raw_string(before: &str) -> Option<usize> {
    let raw = before.trim_end_matches('#');
    raw.ends_with('r').then_some(before.len() - raw.len())
}

/// Returns the length of the string whose text begins here.
fn string_end(text: &str, hashes: Option<usize>) -> usize {
    if let Some(hashes) = hashes {
        return text.find(&format!("\"{}", "#".repeat(hashes))).unwrap_or(text.len());
    }
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at,
            _ => {}
        }
    }
    text.len()
}

fn set(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}
