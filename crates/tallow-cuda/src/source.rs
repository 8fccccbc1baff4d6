//! The CUDA sources: programs, each of a few parts that are joined to one text.

/// A program: what NVRTC compiles at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Program {
    /// Its name, for messages and for the cache.
    pub name: &'static str,
    parts: &'static [&'static str],
}

impl Program {
    /// The whole text.
    pub fn text(&self) -> String {
        self.parts.concat()
    }

    /// The names of its kernels, in the order of the text.
    pub fn kernels(&self) -> Vec<String> {
        kernels(&self.text())
    }

    /// The program of this name.
    pub fn named(name: &str) -> Option<&'static Program> {
        PROGRAMS.iter().find(|program| program.name == name)
    }
}

macro_rules! program {
    ($name:literal, [$($part:literal),*]) => {
        Program {
            name: $name,
            parts: &[include_str!("kernels/common.cu"), $(include_str!(concat!("kernels/", $part, ".cu"))),*],
        }
    };
}

/// Every program. A new kernel file is one row here; fixtures/scripts/cuda_nvrtc.py reads the rows.
pub const PROGRAMS: &[Program] = &[
    program!("elementwise", ["curve", "elementwise"]),
    program!("batch_norm", ["curve", "batch_norm"]),
    program!("layer_norm", ["layer_norm"]),
    program!("columns", ["columns"]),
    program!("softmax", ["softmax"]),
    program!("pool", ["pool"]),
    program!("tokens", ["tokens"]),
    program!("dropout", ["dropout"]),
    program!("depthwise", ["curve", "depthwise"]),
    program!("norms", ["tensors", "norms"]),
    program!("optimizer", ["tensors", "optimizer"]),
    program!("muon", ["tensors", "muon"]),
    program!("images", ["images"]),
];

/// The kernels that a text defines: `extern "C" __global__` functions, and those of the macros `BOTH` and `OPTIMIZER`.
fn kernels(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let statements = text.split("#define").map(|part| {
        // A definition of a macro ends with the first line that does not end in a backslash.
        let mut lines = part.lines();
        let _ = lines.by_ref().find(|line| !line.ends_with('\\'));
        lines.collect::<Vec<_>>().join("\n")
    });
    for text in std::iter::once(text.split("#define").next().unwrap_or_default().to_owned()).chain(statements.skip(1)) {
        for line in text.split("extern \"C\" __global__ void").skip(1) {
            let line = line.trim_start().strip_prefix("__launch_bounds__(256)").unwrap_or(line);
            let name: String = line.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            found.push(name);
        }
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("BOTH(").and_then(|rest| rest.split(',').next()) {
                found.extend([format!("{name}_f32"), format!("{name}_bf16")]);
            }
            if let Some(name) = line.strip_prefix("OPTIMIZER(").and_then(|rest| rest.split(')').next()) {
                found.push(name.to_owned());
            }
        }
    }
    found
}
