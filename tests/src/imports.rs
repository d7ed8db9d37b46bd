//! Which file of a crate names which other, read from its `use` lines and its paths.
//!
//! Owns the reading, and the search for circles. What a module only hands on (`pub use`) is no import
//! of its own: who takes it there takes it from the file that defines it. Refuses to compile anything,
//! so it knows names and no types; unit tests are left out, which may name what they like.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    path::Path,
};

/// A module, by the names on the way to it; the crate's root has none.
pub type Module = Vec<String>;

/// A path in the code, as `crate::a::B`, split.
type Names = Vec<String>;

/// Hops from one `pub use` to the next that are followed.
const HOPS_MAX: usize = 8;

/// The modules of a crate, and what each of them imports.
#[derive(Debug, Default)]
pub struct Imports {
    graph: BTreeMap<Module, BTreeSet<Module>>,
}

/// What one file says.
#[derive(Debug, Default)]
struct Said {
    takes: Vec<Names>,
    hands_on: BTreeMap<String, Names>,
}

impl Imports {
    /// Reads the sources of a crate, without its programs and unit tests.
    ///
    /// # Panics
    /// When they can't be read.
    pub fn of_crate(src: &Path) -> Self {
        let mut sources = BTreeMap::new();
        collect(src, &mut Vec::new(), &mut sources);
        Self::of_sources(&sources)
    }

    /// The same of texts.
    pub fn of_sources(sources: &BTreeMap<Module, String>) -> Self {
        let said: BTreeMap<Module, Said> =
            sources.iter().map(|(module, text)| (module.clone(), read(text))).collect();
        let taken = |(module, words): (&Module, &Said)| {
            let from = words.takes.iter().filter_map(|path| resolve(&said, module, path, 0));
            (module.clone(), from.filter(|other| other != module).collect())
        };
        Self { graph: said.iter().map(taken).collect() }
    }

    /// How many files there are.
    pub fn files(&self) -> usize {
        self.graph.len()
    }

    /// The circles of more than two files, each once: the shortest through each import.
    pub fn circles(&self) -> BTreeSet<Vec<Module>> {
        let imports = self.graph.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to)));
        imports.filter_map(|(from, to)| self.way_back(from, to)).map(turned).collect()
    }

    /// The shortest way from `to` to `from` that is not the direct one.
    fn way_back(&self, from: &Module, to: &Module) -> Option<Vec<Module>> {
        let mut before: BTreeMap<&Module, &Module> = BTreeMap::new();
        let mut queue = VecDeque::from([to]);
        while let Some(here) = queue.pop_front() {
            for next in self.graph.get(here).into_iter().flatten() {
                let is_direct = here == to && next == from;
                if is_direct || next == to || before.contains_key(next) {
                    continue;
                }
                before.insert(next, here);
                queue.push_back(next);
            }
        }
        let mut way = vec![from.clone()];
        let mut here = before.get(from).copied();
        while let Some(module) = here {
            way.push(module.clone());
            here = before.get(module).copied();
        }
        (way.len() > 1).then_some(way)
    }
}

/// A circle from its first name on, so that it is the same wherever it was entered.
fn turned(way: Vec<Module>) -> Vec<Module> {
    let mut way: Vec<Module> = way.into_iter().rev().collect();
    let first = (0..way.len()).min_by_key(|index| &way[*index]).unwrap_or(0);
    way.rotate_left(first);
    way
}

/// A module as people write it.
pub fn shown(module: &Module) -> String {
    if module.is_empty() { "lib".into() } else { module.join("::") }
}

fn collect(folder: &Path, module: &mut Module, into: &mut BTreeMap<Module, String>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry of it").path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "bin" {
                module.push(name);
                collect(&path, module, into);
                module.pop();
            }
            continue;
        }
        let is_test = name == "tests" || name == "testing" || name.ends_with("_tests");
        if path.extension().is_none_or(|ending| ending != "rs") || is_test || name == "main" {
            continue;
        }
        let mut of_file = module.clone();
        if !(name == "mod" || name == "lib" && module.is_empty()) {
            of_file.push(name);
        }
        into.insert(of_file, fs::read_to_string(&path).expect("a source"));
    }
}

/// What a file says, without comments and unit tests.
fn read(text: &str) -> Said {
    let mut said = Said::default();
    let mut rest = String::new();
    let mut statement: Option<String> = None;
    // Who may see something is no import.
    let text = text.replace("(in crate::", "(in ");
    for line in code(&text) {
        if let Some(begun) = &mut statement {
            begun.push_str(line);
        } else if begins_use(line) {
            statement = Some(line.to_owned());
        } else {
            rest.push_str(line);
            rest.push('\n');
        }
        if let Some(whole) = statement.take_if(|begun| begun.contains(';')) {
            said.imports(&whole);
        }
    }
    said.takes.extend(paths(&rest));
    said
}

/// The lines of code up to the unit tests, without their comments.
fn code(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_for_tests =
        |line: &str| line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test");
    let begins =
        |pair: &[&str]| is_for_tests(pair[0]) && pair[1].ends_with('{') && pair[1].contains("mod ");
    if let Some(end) = lines.windows(2).position(begins) {
        lines.truncate(end);
    }
    let mut kept = Vec::new();
    let mut for_tests = false;
    for line in lines {
        if !for_tests {
            kept.push(line.split_once("//").map_or(line, |(code, _)| code));
        }
        for_tests = is_for_tests(line);
    }
    kept
}

fn begins_use(line: &str) -> bool {
    let plain = |line: &str| line.starts_with("use ");
    let handed_on = line.strip_prefix("pub").map(|rest| match rest.strip_prefix('(') {
        Some(rest) => rest.split_once(')').map_or("", |(_, rest)| rest),
        None => rest,
    });
    plain(line) || handed_on.is_some_and(|rest| plain(rest.trim_start()))
}

impl Said {
    /// Takes in a whole `use` statement.
    fn imports(&mut self, statement: &str) {
        let Some((before, tree)) = statement.split_once("use ") else { return };
        let tree = tree.split(';').next().unwrap_or_default();
        for leaf in leaves(tree) {
            let (path, alias) = leaf.split_once(" as ").unwrap_or((&leaf, ""));
            let names: Names = path.split("::").map(|name| name.trim().to_owned()).collect();
            let name =
                if alias.is_empty() { names.last().cloned() } else { Some(alias.trim().into()) };
            match name {
                Some(name) if before.starts_with("pub") => {
                    self.hands_on.insert(name, names);
                }
                _ => self.takes.push(names),
            }
        }
    }
}

/// `a::{b, c::{d, e}}` as `a::b`, `a::c::d`, `a::c::e`.
fn leaves(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((before, inner)) = tree.split_once('{') else { return vec![tree.to_owned()] };
    let inner = inner.trim_end().strip_suffix('}').unwrap_or(inner);
    let (mut all, mut depth, mut begin) = (Vec::new(), 0_usize, 0);
    for (place, character) in inner.char_indices().chain([(inner.len(), ',')]) {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                let part = inner[begin..place].trim();
                if !part.is_empty() {
                    all.extend(leaves(part).into_iter().map(|leaf| format!("{before}{leaf}")));
                }
                begin = place + 1;
            }
            _ => {}
        }
    }
    all
}

/// The paths in code that begin in this crate.
fn paths(code: &str) -> Vec<Names> {
    let is_name =
        |character: char| character.is_alphanumeric() || character == '_' || character == ':';
    code.split(|character| !is_name(character))
        .filter(|word| ["crate::", "super::", "self::"].iter().any(|begin| word.starts_with(begin)))
        .map(|word| word.split("::").map(String::from).collect())
        .collect()
}

/// The module whose file defines what a path in `module` names; none if it is of another crate.
fn resolve(
    said: &BTreeMap<Module, Said>,
    module: &Module,
    path: &[String],
    hops: usize,
) -> Option<Module> {
    let (mut here, mut rest) = beginning(said, module, path)?;
    while let Some((name, after)) = rest.split_first() {
        let mut below = here.clone();
        below.push(name.clone());
        if said.contains_key(&below) {
            (here, rest) = (below, after);
            continue;
        }
        let handed_on = said.get(&here).and_then(|words| words.hands_on.get(name));
        let defined = handed_on
            .filter(|_| hops < HOPS_MAX)
            .and_then(|path| resolve(said, &here, path, hops + 1));
        return Some(defined.unwrap_or(here));
    }
    Some(here)
}

/// Where a path begins, and what of it follows.
fn beginning<'a>(
    said: &BTreeMap<Module, Said>,
    module: &Module,
    path: &'a [String],
) -> Option<(Module, &'a [String])> {
    let (first, after) = path.split_first()?;
    let mut here = module.clone();
    match first.as_str() {
        "crate" => Some((Vec::new(), after)),
        "self" | "super" => {
            let mut rest = path;
            while let Some((name, after)) = rest.split_first()
                && (name == "self" || name == "super")
            {
                if name == "super" {
                    here.pop();
                }
                rest = after;
            }
            Some((here, rest))
        }
        _ => {
            here.push(first.clone());
            said.contains_key(&here).then_some((here, after))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The circles of a crate of these files, each as `a b c`.
    fn circles(files: &[(&str, &str)]) -> Vec<String> {
        let sources = files.iter().map(|(name, text)| {
            let module = name.split("::").filter(|name| !name.is_empty()).map(String::from);
            (module.collect(), (*text).to_owned())
        });
        let circles = Imports::of_sources(&sources.collect()).circles();
        circles.iter().map(|way| way.iter().map(shown).collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn three_files_in_a_circle_are_found_however_they_name_each_other() {
        let c = "fn f() { crate::a::Item::new(); }";
        for b in [
            "use crate::{x::Y, c::{Item, Other}};",
            "use super::c;",
            "pub(crate) fn f(_: super::c::C) {}",
        ] {
            let files = [("", ""), ("a", "use std::fs;\nuse crate::b::Item;"), ("b", b), ("c", c)];
            assert_eq!(circles(&files), ["a b c"], "{b}");
        }
    }

    #[test]
    fn two_files_may_name_each_other_and_many_may_name_their_parent() {
        let files = [
            ("m", "use self::{a::A, b::B};\npub trait Both {}"),
            ("m::a", "use super::Both;"),
            ("m::b", "use super::Both;"),
        ];
        assert!(circles(&files).is_empty());
    }

    #[test]
    fn what_a_module_hands_on_is_taken_from_the_file_that_defines_it() {
        let files = [
            ("m", "mod a;\nmod b;\npub use a::A;\npub use b::{B as Renamed, Other};"),
            ("m::a", "use super::Renamed;"),
            ("m::b", "use crate::n::N;"),
            ("n", "use crate::m::A;"),
        ];
        assert_eq!(circles(&files), ["m::a m::b n"]);
    }

    #[test]
    fn comments_and_unit_tests_name_what_they_like() {
        let files = [
            ("a", "use crate::b::B;"),
            ("b", "use crate::c::C; // and crate::a"),
            (
                "c",
                "//! See [`crate::a`].\n#[cfg(test)]\nuse crate::a::A;\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}",
            ),
        ];
        assert!(circles(&files).is_empty());
    }
}
