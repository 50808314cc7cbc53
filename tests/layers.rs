//! Checks that the modules of the crate are layers: each imports only from those above it in the list in
//! src/lib.rs, and no two files import from each other, also by way of others.
//!
//! An import is a path in the source. It counts from the file that it stands in to the file that defines
//! what it names, so a module that only re-exports stands in no circle.
//!
//! Out of scope: code that is compiled for tests only, methods, and fields.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use bedrock_edge_tests::root;
use proc_macro2::{Delimiter, TokenStream, TokenTree};

#[test]
fn each_module_imports_only_from_those_above_it() {
    let mut files = BTreeMap::new();
    read_files(&root().join("src"), "", &mut files);
    let source = Source::parse(&files);
    assert!(source.imports.len() > 200, "{} imports", source.imports.len());
    let problems = source.problems(&layers(&files["lib.rs"]));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn the_documents_have_the_layers_of_the_crates_documentation() {
    let architecture = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let section = architecture.split("\n## ").find(|section| section.starts_with("Layers\n"));
    let rows = section.unwrap().lines().filter_map(|line| line.strip_prefix("| `"));
    let documented = rows.map(|row| names(&format!("`{}", row.split('|').next().unwrap())));
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    assert_eq!(documented.collect::<Vec<_>>(), layers(&lib));
}

const LAYERS: &str = "\
//! # Layers
//!
//! - `base`, `bottom`: the base.
//! - [`middle`]: it uses `base`.
//! - `top`: the rest.
//!
//! # Example
mod base; mod bottom; mod middle; mod top;
pub use middle::Middle;
";

/// Returns the problems of a crate with these layers, in which middle.rs has two files of its own.
fn problems_of(files: &[(&str, &str)]) -> Vec<String> {
    let mut all = BTreeMap::from(
        [
            ("lib.rs", LAYERS),
            ("base.rs", "pub struct Base;"),
            ("bottom.rs", "use crate::base::Base;"),
            ("middle.rs", "mod one; mod two; pub use one::Middle; pub use two::Two;"),
            ("middle/one.rs", "use crate::base::Base; pub struct Middle(Base);"),
            ("middle/two.rs", "use super::Middle; pub struct Two(Middle);"),
            (
                "top.rs",
                "use crate::Middle; use crate::middle::{self, Two as Second}; use std::fmt;",
            ),
        ]
        .map(|(name, text)| (name.to_owned(), text.to_owned())),
    );
    all.extend(files.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())));
    Source::parse(&all).problems(&layers(&all["lib.rs"]))
}

#[test]
fn a_crate_of_layers_has_no_problems() {
    assert_eq!(problems_of(&[]), [""; 0]);
}

#[test]
fn an_import_from_below_is_found_in_every_form() {
    let upward = "middle/one.rs imports `top::Top` from top.rs, which is below it";
    for (case, text) in [
        ("an import", "use crate::top::Top;"),
        ("a group", "use crate::{base::Base, top::{Top, Other}};"),
        ("super", "use super::super::top::Top;"),
        ("a path", "fn f() -> crate::top::Top {}"),
        ("a path in a macro", r#"fn f() { println!("{}", crate::top::Top::new()) }"#),
        ("an imported module", "use crate::top; fn f() { top::Top::new() }"),
        ("another name", "use crate::top as other; fn f(_: other::Top) {}"),
        ("a feature", r#"#[cfg(feature = "entry")] use crate::top::Top;"#),
    ] {
        let text = format!("{text} pub struct Middle;");
        let found = problems_of(&[("top.rs", "pub struct Top;"), ("middle/one.rs", &text)]);
        assert!(found.contains(&upward.to_owned()), "{case}: {found:?}");
    }
}

#[test]
fn a_circle_is_found_within_a_layer_and_through_a_re_export() {
    let found = problems_of(&[("base.rs", "use crate::bottom::Bottom; pub struct Base;")]);
    assert_eq!(found, ["these files import from each other: base.rs, bottom.rs"]);
    let found = problems_of(&[("middle/one.rs", "use super::Two; pub struct Middle(Two);")]);
    assert_eq!(found, ["these files import from each other: middle/one.rs, middle/two.rs"]);
    let own = "mod one; mod two; pub use one::Middle; pub use two::Two; pub struct Own(Two);";
    let found = problems_of(&[
        ("middle.rs", own),
        ("middle/one.rs", "use super::Own; pub struct Middle(Own);"),
    ]);
    let circle = "these files import from each other: middle.rs, middle/one.rs, middle/two.rs";
    assert_eq!(found, [circle]);
}

#[test]
fn code_for_tests_may_import_from_everywhere() {
    let one = "pub struct Middle; #[cfg(test)] mod tests { use crate::top::Top; }
        #[cfg(test)] use crate::top::Top;";
    let tests = "use crate::top::Top;";
    assert_eq!(problems_of(&[("middle/one.rs", one), ("middle/tests.rs", tests)]), [""; 0]);
}

#[test]
fn the_list_has_each_module_once() {
    let list = LAYERS.replace("- `top`: the rest.", "- `base`, `gone`: twice.");
    let expected = [
        "the list of layers has `base` twice",
        "the list of layers lacks `top`",
        "the list of layers has `gone`, which is no module",
    ];
    assert_eq!(problems_of(&[("lib.rs", &list)]), expected);
}

/// Reads the files of a folder by their paths, except those for tests.
fn read_files(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            read_files(&entry.path(), &format!("{name}/"), files);
        } else if name.ends_with(".rs") {
            files.insert(name, fs::read_to_string(entry.path()).unwrap());
        }
    }
}

/// Reads the layers in their order: the names before the colon of each item under `# Layers`.
fn layers(lib: &str) -> Vec<Vec<String>> {
    let list = lib.split("//! # ").find(|section| section.starts_with("Layers\n"));
    list.expect("src/lib.rs has no list of layers")
        .lines()
        .filter_map(|line| line.strip_prefix("//! - "))
        .map(|item| names(item.split(':').next().unwrap_or_default()))
        .collect()
}

/// Returns the words in backticks.
fn names(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The files of a crate and what they import.
struct Source {
    /// The files by the paths of their modules, such as `middle::one`. The root's path is empty.
    modules: BTreeMap<String, String>,
    /// The paths that each `use` binds, by the path of its module and the name, as they stand there.
    bindings: BTreeMap<(String, String), Vec<String>>,
    /// The imports: the importing file, the defining file, and the path of what is imported.
    imports: BTreeSet<(String, String, String)>,
}

impl Source {
    fn parse(files: &BTreeMap<String, String>) -> Self {
        let mut modules = BTreeMap::new();
        let mut bindings = BTreeMap::new();
        let mut paths = Vec::new();
        for (file, text) in files {
            let module = file.trim_end_matches(".rs").replace('/', "::");
            let module = if module == "lib" { String::new() } else { module };
            if module.split("::").any(|name| ["tests", "testing"].contains(&name)) {
                continue;
            }
            let mut scan = Scan::default();
            scan.read(text.parse().unwrap_or_else(|error| panic!("{file}: {error}")));
            for (name, path) in scan.bindings {
                bindings.insert((module.clone(), name), path);
            }
            paths.extend(scan.paths.into_iter().map(|path| (module.clone(), path)));
            modules.insert(module, file.clone());
        }
        let mut source = Self { modules, bindings, imports: BTreeSet::new() };
        let bound =
            source.bindings.iter().map(|((module, _), path)| (module.clone(), path.clone()));
        paths.extend(bound);
        for (module, path) in paths {
            let file = &source.modules[&module];
            if let Some((definer, name)) = source.resolve(&module, &path)
                && definer != *file
            {
                source.imports.insert((file.clone(), definer, name));
            }
        }
        source
    }

    /// Returns the file that defines what a path in a module names, and the path from the root. Returns nothing
    /// for a module and for what another crate defines.
    fn resolve(&self, module: &str, path: &[String]) -> Option<(String, String)> {
        let (mut module, mut path) = match path.split_first()? {
            (first, rest) if first == "crate" => (String::new(), rest),
            (first, _) if ["self", "super"].contains(&first.as_str()) => (module.to_owned(), path),
            (first, _) if self.has(module, first) => (module.to_owned(), path),
            _ => return None,
        };
        while let Some((name, rest)) = path.split_first() {
            path = rest;
            let child = join(&module, name);
            let key = (module, name.clone());
            if name == "super" {
                module = key.0.rsplit_once("::").map_or_else(String::new, |it| it.0.to_owned());
            } else if name == "self" {
                module = key.0;
            } else if self.modules.contains_key(&child) {
                module = child;
            } else if let Some(bound) = self.bindings.get(&key) {
                return self.resolve(&key.0, &[bound, rest].concat());
            } else {
                return Some((self.modules[&key.0].clone(), child));
            }
        }
        None
    }

    /// Reports whether a module has a child with this name, or an import that is not from a crate with this name.
    fn has(&self, module: &str, name: &String) -> bool {
        let bound = self.bindings.get(&(module.to_owned(), name.clone()));
        self.modules.contains_key(&join(module, name))
            || bound.is_some_and(|path| path.first() != Some(name))
    }

    fn problems(&self, layers: &[Vec<String>]) -> Vec<String> {
        let mut problems = Vec::new();
        let listed: Vec<&String> = layers.iter().flatten().collect();
        let modules =
            || self.modules.keys().filter(|path| !path.is_empty() && !path.contains("::"));
        for (at, name) in listed.iter().enumerate() {
            if listed[..at].contains(name) {
                problems.push(format!("the list of layers has `{name}` twice"));
            }
        }
        for module in modules().filter(|module| !listed.contains(module)) {
            problems.push(format!("the list of layers lacks `{module}`"));
        }
        for name in listed.into_iter().filter(|name| !self.modules.contains_key(*name)) {
            problems.push(format!("the list of layers has `{name}`, which is no module"));
        }

        // The root stands below all layers.
        let layer = |file: &str| {
            let module = file.split(['/', '.']).next().unwrap_or_default();
            layers.iter().position(|names| names.iter().any(|name| name == module))
        };
        for (file, definer, name) in &self.imports {
            let (from, to) = (layer(file), layer(definer));
            if from.is_some() && to.is_none_or(|to| from.is_some_and(|from| to > from)) {
                problems.push(format!("{file} imports `{name}` from {definer}, which is below it"));
            }
        }

        let circles: BTreeSet<_> = self.modules.values().map(|file| self.circle(file)).collect();
        for circle in circles.into_iter().filter(|circle| circle.len() > 1) {
            problems.push(format!("these files import from each other: {}", circle.join(", ")));
        }
        problems
    }

    /// Returns the files that a file imports from and that import from it, itself included.
    fn circle(&self, file: &str) -> Vec<&str> {
        let below = self.reachable(file, |(from, to, _)| (from, to));
        let above = self.reachable(file, |(from, to, _)| (to, from));
        below.intersection(&above).copied().collect()
    }

    fn reachable<'a>(
        &'a self,
        start: &str,
        direct: impl Fn(&'a (String, String, String)) -> (&'a String, &'a String),
    ) -> BTreeSet<&'a str> {
        let start = self.modules.values().find(|file| *file == start).map(String::as_str);
        let mut found = BTreeSet::new();
        let mut open: Vec<&str> = start.into_iter().collect();
        while let Some(file) = open.pop() {
            if found.insert(file) {
                let next = self.imports.iter().map(&direct).filter(|(from, _)| *from == file);
                open.extend(next.map(|(_, to)| to.as_str()));
            }
        }
        found
    }
}

fn join(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") }
}

/// The paths and imports in a file.
#[derive(Default)]
struct Scan {
    /// The paths with two names or more outside imports.
    paths: Vec<Vec<String>>,
    /// The names that imports bind, with their paths.
    bindings: Vec<(String, Vec<String>)>,
}

impl Scan {
    fn read(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let rest = &tokens[at + 1..];
            at += 1 + match token {
                TokenTree::Group(group) => {
                    self.read(group.stream());
                    0
                }
                TokenTree::Punct(_) if is_for_tests(&tokens[at..]) => {
                    rest.iter().position(ends_item).map_or(rest.len(), |end| end + 1)
                }
                TokenTree::Ident(ident) if ident == "use" => {
                    let end = rest.iter().position(|it| is(it, ';')).unwrap_or(0);
                    self.read_use(&[], &rest[..end]);
                    end
                }
                TokenTree::Ident(ident) => {
                    let mut path = vec![ident.to_string()];
                    path.extend(rest.chunks(3).map_while(|it| match it {
                        [one, two, TokenTree::Ident(name)] if is(one, ':') && is(two, ':') => {
                            Some(name.to_string())
                        }
                        _ => None,
                    }));
                    let read = 3 * (path.len() - 1);
                    if read > 0 {
                        self.paths.push(path);
                    }
                    read
                }
                _ => 0,
            };
        }
    }

    /// Reads what follows `use`, or the trees of a group after a prefix.
    fn read_use(&mut self, prefix: &[String], trees: &[TokenTree]) {
        for tree in trees.split(|token| is(token, ',')) {
            let mut path = prefix.to_vec();
            let mut name = None;
            for token in tree {
                match token {
                    TokenTree::Ident(ident) if ident == "as" => name = Some(String::new()),
                    TokenTree::Ident(ident) if name.is_some() => name = Some(ident.to_string()),
                    TokenTree::Ident(ident) if ident == "self" && !path.is_empty() => {}
                    TokenTree::Ident(ident) => path.push(ident.to_string()),
                    TokenTree::Group(group) => {
                        let trees: Vec<TokenTree> = group.stream().into_iter().collect();
                        self.read_use(&path, &trees);
                        path.clear();
                    }
                    _ => {}
                }
            }
            if let Some(last) = path.last() {
                self.bindings.push((name.unwrap_or_else(|| last.clone()), path));
            }
        }
    }
}

/// Reports whether the tokens begin with `#[cfg(test)]`.
fn is_for_tests(tokens: &[TokenTree]) -> bool {
    let [hash, TokenTree::Group(attribute), ..] = tokens else { return false };
    is(hash, '#') && attribute.stream().to_string().replace(' ', "") == "cfg(test)"
}

fn ends_item(token: &TokenTree) -> bool {
    let is_block = matches!(token, TokenTree::Group(it) if it.delimiter() == Delimiter::Brace);
    is(token, ';') || is_block
}

fn is(token: &TokenTree, punctuation: char) -> bool {
    matches!(token, TokenTree::Punct(it) if it.as_char() == punctuation)
}
