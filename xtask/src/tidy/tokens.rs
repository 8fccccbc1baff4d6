//! Rust source as tokens: what the rules need to know of it without a full parser.

use anyhow::{Result, anyhow};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// The tokens of a source file.
///
/// # Errors
/// Text that is not Rust.
pub fn parse(text: &str) -> Result<TokenStream> {
    text.parse().map_err(|error| anyhow!("not Rust: {error}"))
}

/// Whether an attribute makes its item a test's: `cfg(test)`, `cfg(doctest)`, `cfg(all(test, …))`.
pub fn is_test(attribute: TokenStream) -> bool {
    let text = attribute.to_string().replace(' ', "");
    text.starts_with("cfg(") && !text.contains("not(") && ["test", "doctest"].iter().any(|word| has_word(&text, word))
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|found| found == word)
}

/// The lines of every `unsafe`.
pub fn unsafe_lines(tokens: TokenStream) -> Vec<usize> {
    let lines = |token| match token {
        TokenTree::Ident(ident) if ident == "unsafe" => vec![ident.span().start().line],
        TokenTree::Group(group) => unsafe_lines(group.stream()),
        _ => Vec::new(),
    };
    tokens.into_iter().flat_map(lines).collect()
}

/// Every literal outside tests and doc comments, with its line.
pub fn literals(tokens: TokenStream) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut walk = Walk::new(tokens);
    let mut test = false;
    while let Some(token) = walk.next() {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                if let Some(attribute) = walk.attribute() {
                    test |= is_test(attribute.clone());
                    if !attribute.to_string().starts_with("doc ") {
                        found.extend(literals(attribute));
                    }
                }
            }
            TokenTree::Ident(ident) if test && ident != "pub" => {
                walk.skip_item(&ident.to_string());
                test = false;
            }
            TokenTree::Literal(literal) => found.push((literal.span().start().line, literal.to_string())),
            TokenTree::Group(group) => found.extend(literals(group.stream())),
            _ => {}
        }
    }
    found
}

/// Reads tokens one after the other.
pub struct Walk {
    tokens: std::iter::Peekable<proc_macro2::token_stream::IntoIter>,
}

impl Walk {
    pub fn new(tokens: TokenStream) -> Self {
        Walk { tokens: tokens.into_iter().peekable() }
    }

    /// Whether the next token is `text`.
    pub fn at(&mut self, text: &str) -> bool {
        self.tokens.peek().is_some_and(|token| !matches!(token, TokenTree::Group(_)) && token.to_string() == text)
    }

    /// Takes the next token if it is `text`.
    pub fn accept(&mut self, text: &str) -> bool {
        let found = self.at(text);
        if found {
            self.tokens.next();
        }
        found
    }

    /// The identifier that comes next.
    pub fn ident(&mut self) -> Option<String> {
        match self.tokens.peek() {
            Some(TokenTree::Ident(ident)) => {
                let name = ident.to_string();
                self.tokens.next();
                Some(name)
            }
            _ => None,
        }
    }

    /// The group that comes next, if it has these delimiters.
    pub fn group(&mut self, delimiter: Delimiter) -> Option<Group> {
        match self.tokens.peek() {
            Some(TokenTree::Group(group)) if group.delimiter() == delimiter => {
                let group = group.clone();
                self.tokens.next();
                Some(group)
            }
            _ => None,
        }
    }

    /// The contents of the brackets of an attribute whose `#` has been read.
    pub fn attribute(&mut self) -> Option<TokenStream> {
        self.accept("!");
        self.group(Delimiter::Bracket).map(|group| group.stream())
    }

    /// Skips the rest of an item that begins with `word`.
    pub fn skip_item(&mut self, word: &str) {
        for token in self.tokens.by_ref() {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ';' => return,
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace && word != "use" => return,
                _ => {}
            }
        }
    }

    /// The name behind `fn`, `const` and the like; none behind `const` of `const fn`.
    pub fn defined_name(&mut self) -> Option<String> {
        match self.tokens.peek() {
            Some(TokenTree::Ident(ident)) if ident != "fn" && ident != "unsafe" && ident != "mut" => self.ident(),
            _ => None,
        }
    }

    /// The name behind `macro_rules`.
    pub fn macro_name(&mut self) -> Option<String> {
        if self.accept("!") { self.ident() } else { None }
    }

    fn separator(&mut self) -> bool {
        let mut ahead = self.tokens.clone();
        let colon = |token: Option<TokenTree>| matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
        let found = colon(ahead.next()) && colon(ahead.next());
        if found {
            self.tokens = ahead;
        }
        found
    }

    /// The path that begins with the identifier `first`, up to generics, groups and other tokens.
    pub fn path(&mut self, first: String) -> Vec<String> {
        let mut path = vec![first];
        while self.separator() {
            match self.ident() {
                Some(segment) => path.push(segment),
                None => break,
            }
        }
        path
    }

    /// The names and paths that a `use` imports, whose keyword has been read; a glob has no name.
    pub fn use_tree(&mut self) -> Vec<(Option<String>, Vec<String>)> {
        let mut found = Vec::new();
        self.tree(Vec::new(), &mut found);
        self.accept(";");
        found
    }

    fn tree(&mut self, mut path: Vec<String>, found: &mut Vec<(Option<String>, Vec<String>)>) {
        self.separator();
        loop {
            if let Some(group) = self.group(Delimiter::Brace) {
                let mut inner = Walk::new(group.stream());
                while inner.tokens.peek().is_some() {
                    inner.tree(path.clone(), found);
                    inner.accept(",");
                }
                return;
            }
            if self.accept("*") {
                found.push((None, path));
                return;
            }
            match self.ident() {
                // `a::{self}` names the module `a`.
                Some(segment) if segment == "self" && !path.is_empty() => {}
                Some(segment) => path.push(segment),
                None => return,
            }
            if !self.separator() {
                break;
            }
        }
        let name = if self.accept("as") { self.ident() } else { path.last().cloned() };
        if let Some(name) = name {
            found.push((Some(name), path));
        }
    }
}

impl Iterator for Walk {
    type Item = TokenTree;

    fn next(&mut self) -> Option<TokenTree> {
        self.tokens.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_of_a_use() {
        let text = "crate::{a::{self, B as C}, d::*, e::f::G}; x";
        let mut walk = Walk::new(parse(text).unwrap());
        let found: Vec<String> = walk
            .use_tree()
            .into_iter()
            .map(|(name, path)| format!("{} = {}", name.unwrap_or("*".into()), path.join("::")))
            .collect();
        assert_eq!(found, ["a = crate::a", "C = crate::a::B", "* = crate::d", "G = crate::e::f::G"]);
        assert_eq!(walk.ident().as_deref(), Some("x"));
    }

    #[test]
    fn literals_outside_tests_and_docs() {
        let text =
            "/// a doc\n#[error(\"in an attribute\")]\nfn f() { g(\"text\") }\n#[cfg(test)]\npub mod tests { \"x\" }\n";
        let found = [(2, "\"in an attribute\"".to_string()), (3, "\"text\"".to_string())];
        assert_eq!(literals(parse(text).unwrap()), found);
    }

    #[test]
    fn unsafe_anywhere_but_in_comments_and_strings() {
        let text = "// unsafe\nunsafe fn f() {}\n/// unsafe\nfn g() { \"unsafe\"; h(|| unsafe { f() }) }\n";
        assert_eq!(unsafe_lines(parse(text).unwrap()), [2, 4]);
    }

    #[test]
    fn attributes_of_tests() {
        for (text, expected) in [
            ("cfg(test)", true),
            ("cfg(doctest)", true),
            ("cfg(all(test, unix))", true),
            ("cfg(not(test))", false),
            ("cfg(feature = \"fastest\")", false),
            ("derive(Debug)", false),
        ] {
            assert_eq!(is_test(parse(text).unwrap()), expected, "{text}");
        }
    }
}
