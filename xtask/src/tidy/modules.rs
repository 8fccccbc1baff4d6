//! The graph of a crate's modules, and its cycles.
//!
//! The nodes are modules. An edge leads from a module to each module whose items it names, by a `use` or by a path such as
//! `crate::a::f()`, `super::T` or `child::f()`. These rules decide which module an item belongs to:
//!
//! - A path is followed through re-exports: `use crate::Error` leads to the module that defines `Error`, not to `lib.rs`.
//! - A `use` with a visibility (`pub use`, `pub(crate) use`) is a name, not a dependency. It becomes one where the module's
//!   own code uses the name.
//! - `mod child;` and `use crate::module;` are no dependencies either: the paths through the module are.
//! - A module and the modules below it are one unit: a child may use what its parent defines, and the parent may use the
//!   child, as a table of its rows does. A child that uses its parent depends on what the parent uses outside of the folder.
//! - Code under `#[cfg(test)]`, doc comments and macro-generated names do not count.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::tokens::{Walk, is_test, parse};

/// The cycles below the root file `root`, one for each set of modules that depend on each other: the modules of a shortest
/// cycle, by their paths. `read` returns a file's text, or `None` where there is no such file.
pub fn cycles(root: &Path, read: &dyn Fn(&Path) -> Option<String>) -> Result<Vec<Vec<String>>> {
    let text = read(root).with_context(|| format!("cannot read {}", root.display()))?;
    let mut graph = Graph { modules: Vec::new(), read };
    let folder = root.parent().unwrap_or(Path::new("")).to_path_buf();
    graph.add(None, "crate".into(), folder, parse(&text).with_context(|| root.display().to_string())?)?;
    Ok(graph.cycles())
}

#[derive(Default)]
struct Module {
    /// `crate::layers::mlp`.
    path: String,
    parent: Option<usize>,
    /// The folder of the files of its child modules.
    folder: PathBuf,
    children: BTreeMap<String, usize>,
    /// Names of the items that it defines.
    defined: BTreeSet<String>,
    imports: BTreeMap<String, Import>,
    /// Modules from which it imports every name.
    globs: Vec<Vec<String>>,
    /// Paths of two segments or more in its code.
    paths: BTreeSet<Vec<String>>,
    /// Single identifiers in its code.
    names: BTreeSet<String>,
}

struct Import {
    path: Vec<String>,
    /// Whether others may import it from here.
    exported: bool,
}

/// What a name stands for: a module, or an item of a module.
#[derive(Clone, Copy)]
enum Found {
    Module(usize),
    Item(usize),
}

struct Graph<'a> {
    modules: Vec<Module>,
    read: &'a dyn Fn(&Path) -> Option<String>,
}

impl Graph<'_> {
    fn add(&mut self, parent: Option<usize>, name: String, folder: PathBuf, tokens: TokenStream) -> Result<usize> {
        let path = parent.map_or(name.clone(), |parent| format!("{}::{name}", self.modules[parent].path));
        let id = self.modules.len();
        self.modules.push(Module { path, parent, folder, ..Module::default() });
        self.walk(id, tokens)?;
        Ok(id)
    }

    /// Reads the items and expressions of a module.
    fn walk(&mut self, id: usize, tokens: TokenStream) -> Result<()> {
        let mut walk = Walk::new(tokens);
        let (mut visible, mut test) = (false, false);
        while let Some(token) = walk.next() {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    if let Some(attribute) = walk.attribute() {
                        test |= is_test(attribute);
                        continue;
                    }
                }
                TokenTree::Ident(ident) if test && ident != "pub" => {
                    walk.skip_item(&ident.to_string());
                    (visible, test) = (false, false);
                }
                TokenTree::Ident(ident) => {
                    let word = ident.to_string();
                    match word.as_str() {
                        "pub" => {
                            walk.group(Delimiter::Parenthesis);
                            visible = true;
                            continue;
                        }
                        "use" if !walk.at("<") => {
                            for (name, path) in walk.use_tree() {
                                let module = &mut self.modules[id];
                                match name {
                                    Some(name) => {
                                        module.imports.insert(name, Import { path, exported: visible });
                                    }
                                    None => module.globs.push(path),
                                }
                            }
                        }
                        "mod" => self.child(id, &mut walk)?,
                        "fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" | "union" => {
                            self.modules[id].defined.extend(walk.defined_name());
                        }
                        "macro_rules" => self.modules[id].defined.extend(walk.macro_name()),
                        _ => {
                            let path = walk.path(word);
                            let module = &mut self.modules[id];
                            match path.len() {
                                1 => module.names.extend(path),
                                _ => {
                                    module.paths.insert(path);
                                }
                            }
                        }
                    }
                    visible = false;
                }
                // A field or a method: no name of this module's.
                TokenTree::Punct(punct) if punct.as_char() == '.' && !walk.accept(".") => {
                    walk.ident();
                }
                // A lifetime; `*const T`.
                TokenTree::Punct(punct) if punct.as_char() == '\'' => {
                    walk.ident();
                }
                TokenTree::Punct(punct) if punct.as_char() == '*' => {
                    walk.accept("const");
                }
                TokenTree::Group(group) => self.walk(id, group.stream())?,
                _ => {}
            }
        }
        Ok(())
    }

    /// A `mod` whose name comes next, in this file or in its own.
    fn child(&mut self, parent: usize, walk: &mut Walk) -> Result<()> {
        let Some(name) = walk.ident() else { return Ok(()) };
        let folder = self.modules[parent].folder.clone();
        let below = folder.join(&name);
        let tokens = match walk.group(Delimiter::Brace) {
            Some(group) => group.stream(),
            None => {
                let files = [folder.join(format!("{name}.rs")), below.join("mod.rs")];
                let Some((file, text)) = files.iter().find_map(|file| Some((file, (self.read)(file)?))) else {
                    return Ok(());
                };
                parse(&text).with_context(|| file.display().to_string())?
            }
        };
        let id = self.add(Some(parent), name.clone(), below, tokens)?;
        self.modules[parent].children.insert(name, id);
        Ok(())
    }

    /// What `name` stands for in a module; `None` where the module does not know it.
    fn lookup(&self, id: usize, name: &str, depth: usize) -> Option<Found> {
        let module = &self.modules[id];
        if let Some(child) = module.children.get(name) {
            return Some(Found::Module(*child));
        }
        if module.defined.contains(name) {
            return Some(Found::Item(id));
        }
        if let Some(import) = module.imports.get(name) {
            // A name from another crate belongs to the module that imports it.
            return Some(self.resolve(id, &import.path, depth + 1).unwrap_or(Found::Item(id)));
        }
        module.globs.iter().find_map(|glob| match self.resolve(id, glob, depth + 1) {
            Some(Found::Module(other)) if other != id && depth < MAX_DEPTH => self.lookup(other, name, depth + 1),
            _ => None,
        })
    }

    /// What a path stands for, seen from module `from`; `None` where it leads to another crate.
    fn resolve(&self, from: usize, path: &[String], depth: usize) -> Option<Found> {
        if depth > MAX_DEPTH {
            return None;
        }
        let mut current = from;
        for (i, segment) in path.iter().enumerate() {
            let found = match segment.as_str() {
                "crate" => Some(Found::Module(0)),
                "self" => Some(Found::Module(current)),
                "super" => Some(Found::Module(self.modules[current].parent?)),
                name => self.lookup(current, name, depth),
            };
            match found {
                Some(Found::Module(id)) => current = id,
                Some(Found::Item(id)) => return Some(Found::Item(id)),
                None if i == 0 => return None,
                // A name that a macro defines.
                None => return Some(Found::Item(current)),
            }
        }
        Some(Found::Module(current))
    }

    /// The modules that a module depends on: those it names, but in the place of each ancestor those that the ancestor
    /// names outside of the ancestor's own folder.
    fn edges(&self, id: usize) -> BTreeSet<usize> {
        let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::from([id]));
        let mut queue: Vec<usize> = self.named(id).into_iter().collect();
        while let Some(other) = queue.pop() {
            if !self.is_below(id, other) {
                found.insert(other);
            } else if seen.insert(other) {
                queue.extend(self.named(other).into_iter().filter(|next| !self.is_below(*next, other)));
            }
        }
        found
    }

    /// Whether `ancestor` is one of a module's ancestors.
    fn is_below(&self, id: usize, ancestor: usize) -> bool {
        let mut parent = self.modules[id].parent;
        while let Some(above) = parent {
            if above == ancestor {
                return true;
            }
            parent = self.modules[above].parent;
        }
        false
    }

    /// The modules whose items a module names.
    fn named(&self, id: usize) -> BTreeSet<usize> {
        let module = &self.modules[id];
        let imports = module.imports.iter().filter(|(name, import)| !import.exported || module.names.contains(*name));
        let imports = imports.map(|(_, import)| &import.path);
        let items = imports.chain(&module.paths).filter_map(|path| match self.resolve(id, path, 0) {
            Some(Found::Item(other)) => Some(other),
            _ => None,
        });
        let globs = module.globs.iter().filter_map(|path| match self.resolve(id, path, 0) {
            Some(Found::Module(other) | Found::Item(other)) => Some(other),
            None => None,
        });
        items.chain(globs).filter(|other| *other != id).collect()
    }

    fn cycles(&self) -> Vec<Vec<String>> {
        let edges: Vec<BTreeSet<usize>> = (0..self.modules.len()).map(|id| self.edges(id)).collect();
        let (mut cycles, mut seen) = (Vec::new(), BTreeSet::new());
        for start in 0..edges.len() {
            if seen.contains(&start) {
                continue;
            }
            if let Some(cycle) = shortest_cycle(&edges, start) {
                // One report for all modules that depend on each other.
                let reached = reachable(&edges, start);
                seen.extend(reached.iter().copied().filter(|other| reachable(&edges, *other).contains(&start)));
                cycles.push(cycle.iter().map(|id| self.modules[*id].path.clone()).collect());
            }
        }
        cycles
    }
}

/// Longer chains of re-exports than this are taken for circular ones.
const MAX_DEPTH: usize = 16;

fn reachable(edges: &[BTreeSet<usize>], start: usize) -> BTreeSet<usize> {
    let (mut found, mut queue) = (BTreeSet::new(), vec![start]);
    while let Some(id) = queue.pop() {
        queue.extend(edges[id].iter().filter(|next| found.insert(**next)));
    }
    found
}

/// The modules of a shortest cycle through `start`, `start` first.
fn shortest_cycle(edges: &[BTreeSet<usize>], start: usize) -> Option<Vec<usize>> {
    let mut before: BTreeMap<usize, usize> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(id) = queue.pop_front() {
        for &next in &edges[id] {
            if next == start {
                let mut cycle = vec![id];
                while let Some(previous) = before.get(&cycle[cycle.len() - 1]) {
                    cycle.push(*previous);
                }
                cycle.reverse();
                return Some(cycle);
            }
            if let Entry::Vacant(unseen) = before.entry(next) {
                unseen.insert(id);
                queue.push_back(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[(&str, &str)]) -> Vec<String> {
        let read = |path: &Path| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path);
            found.map(|(_, text)| text.to_string())
        };
        cycles(Path::new("lib.rs"), &read).unwrap().iter().map(|cycle| cycle.join(" → ")).collect()
    }

    #[test]
    fn modules_that_name_each_other_are_a_cycle() {
        let lib = ("lib.rs", "mod a; mod b; mod c;");
        let c = ("c.rs", "use crate::a::A; pub struct C;");
        assert_eq!(check(&[lib, ("a.rs", "pub struct A;"), ("b.rs", "use crate::{a::A, c::C};"), c]), [""; 0]);
        for b in
            ["use crate::c::C;", "fn f() { vec![crate::c::f()] }", "use super::c; fn f(x: c::C) {}", "use crate::c::*;"]
        {
            let found = check(&[lib, ("a.rs", "pub struct A; use crate::b::B;"), ("b.rs", b), c]);
            assert_eq!(found, ["crate::a → crate::b → crate::c"], "{b}");
        }
    }

    #[test]
    fn one_report_stands_for_all_modules_that_depend_on_each_other() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c; mod d;"),
            ("a.rs", "use crate::b::B; pub struct A;"),
            ("b.rs", "use crate::{a::A, c::C}; pub struct B;"),
            ("c.rs", "use crate::b::B; pub struct C;"),
            ("d.rs", "use crate::a::A;"),
        ];
        assert_eq!(check(&files), ["crate::a → crate::b"]);
    }

    #[test]
    fn reexports_lead_to_the_module_that_defines_the_item() {
        let lib = ("lib.rs", "mod error; mod a; pub use a::A; pub use error::{Error, Result as R};");
        let a = "use crate::Error; use crate::R; pub struct A;";
        assert_eq!(check(&[lib, ("error.rs", "pub enum Error {} pub type Result = u8;"), ("a.rs", a)]), [""; 0]);
        let error = "use crate::A; pub enum Error {} pub type Result = u8;";
        assert_eq!(check(&[lib, ("error.rs", error), ("a.rs", a)]), ["crate::error → crate::a"]);
    }

    #[test]
    fn a_parent_and_its_children_are_one_unit() {
        let lib = ("lib.rs", "mod a; mod c;");
        let child = ("a/b.rs", "use super::helper; pub struct B;");
        let c = ("c.rs", "use crate::a::b::B; pub struct C;");
        for uses in
            ["", "use b::B;", "fn f() { b::B; }", "pub(crate) use b::B; fn f(x: B) {}", "use self::b::{B as D};"]
        {
            let a = format!("pub mod b; fn helper() {{}} {uses}");
            assert_eq!(check(&[lib, ("a/mod.rs", &a), child, c]), [""; 0], "{uses}");
            // The child uses the parent, the parent uses `c`, and `c` the child.
            let a = format!("{a} use crate::c::C;");
            assert_eq!(check(&[lib, ("a.rs", &a), child, c]).len(), 1, "{uses}");
        }
        let siblings = [
            ("lib.rs", "mod a;"),
            ("a.rs", "mod b; mod c;"),
            ("a/b.rs", "use super::c::C; pub struct B;"),
            ("a/c.rs", "use super::b::B; pub struct C;"),
        ];
        assert_eq!(check(&siblings), ["crate::a::b → crate::a::c"]);
    }

    #[test]
    fn tests_docs_and_other_crates_do_not_count() {
        let files = [
            ("lib.rs", "mod a; mod b; use candle::b::B as Other;"),
            ("a.rs", "use crate::b::B; pub struct A;"),
            (
                "b.rs",
                "//! See [`crate::a::A`].\n/// As `crate::a::A`.\npub struct B;\nuse a::A;\n#[cfg(test)]\nuse crate::a::X;\n\
                 #[cfg(test)]\nmod tests { use crate::a::A; }\nfn f() { \"crate::a::A\"; x.a::<B>() }",
            ),
        ];
        assert_eq!(check(&files), [""; 0]);
    }
}
