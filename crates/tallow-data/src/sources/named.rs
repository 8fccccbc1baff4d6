//! The table of datasets that are known by name, and the places where their files are searched.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cifar::CifarFormat;
use super::idx::IdxFormat;
use super::text;
use crate::dataset::labels;
use crate::error::{Error, Result};
use crate::options::OpenOptions;
use crate::splits::Splits;

/// The folder of Debian's dataset packages.
const DEBIAN: &str = "/usr/share/datasets";

/// Class names, one per line, beside files that do not contain them.
pub(crate) const CLASS_FILE: &str = "classes.txt";

/// A dataset that is known by name.
pub(crate) struct Named {
    pub name: &'static str,
    /// Class names, separated by commas.
    classes: &'static str,
    reader: Reader,
    /// Folders of other tools below `data_dir`, searched after `<data_dir>/<name>` and `<data_dir>`.
    also_in: &'static [&'static str],
    get_it: &'static str,
}

enum Reader {
    /// Compiled in, with the feature `bundled`.
    Bundled,
    Idx(IdxFormat),
    Cifar(CifarFormat),
}

impl Named {
    /// Finds the files and reads them.
    pub fn open(&self, options: &OpenOptions) -> Result<Splits> {
        let class_names: Arc<[String]> = self.classes.split(',').map(String::from).collect();
        if let Some(expected) = options.classes.as_deref()
            && *expected != *class_names
        {
            return Err(Error::OtherClasses {
                name: self.name.into(),
                expected: expected.to_vec(),
                found: class_names.to_vec(),
            });
        }
        match &self.reader {
            Reader::Bundled => read_bundled(class_names),
            Reader::Idx(layout) => {
                let folder = self.find(options, |path| layout.is_in(path))?;
                layout.read(&folder, class_names)
            }
            Reader::Cifar(layout) => {
                let folder = self.find(options, |path| layout.is_in(path))?;
                layout.read(&folder, class_names)
            }
        }
    }

    /// The first place that holds the files.
    fn find(&self, options: &OpenOptions, holds: impl Fn(&Path) -> bool) -> Result<PathBuf> {
        let places = self.places(options.data_dir.as_deref(), cache_dir().as_deref());
        match places.iter().find(|place| holds(place)) {
            Some(place) => Ok(place.clone()),
            None => Err(Error::NotFound {
                name: self.name,
                looked_at: places.iter().map(|p| p.display().to_string()).collect(),
                get_it: self.get_it,
            }),
        }
    }

    fn places(&self, data_dir: Option<&Path>, cache: Option<&Path>) -> Vec<PathBuf> {
        let mut places = Vec::new();
        if let Some(data_dir) = data_dir {
            // The named folder first: MNIST and Fashion-MNIST have the same file names.
            places.push(data_dir.join(self.name));
            places.push(data_dir.to_path_buf());
            places.extend(self.also_in.iter().map(|folder| data_dir.join(folder)));
        }
        places.extend(cache.map(|cache| cache.join(self.name)));
        places.push(Path::new(DEBIAN).join(self.name));
        places
    }
}

#[cfg(feature = "bundled")]
fn read_bundled(class_names: Arc<[String]>) -> Result<Splits> {
    super::bundled::read(class_names)
}

#[cfg(not(feature = "bundled"))]
fn read_bundled(_: Arc<[String]>) -> Result<Splits> {
    Err(Error::FeatureOff { what: "the dataset fashion-mnist-6k", feature: "bundled" })
}

/// The dataset of this name.
pub(crate) fn find(name: &str) -> Option<&'static Named> {
    NAMED.iter().find(|named| named.name == name)
}

/// The names of all known datasets, the bundled one first.
pub fn known_datasets() -> impl Iterator<Item = &'static str> {
    NAMED.iter().map(|named| named.name)
}

/// The splits of a folder with files in the format and with the names of MNIST or CIFAR. The class names come from
/// [`CLASS_FILE`], `batches.meta.txt` or `fine_label_names.txt` beside them; else they are numbers.
pub(crate) fn read_unnamed(folder: &Path, options: &OpenOptions) -> Result<Option<Splits>> {
    let cifar = [CifarFormat::CIFAR10, CifarFormat::CIFAR100].into_iter().find(|layout| layout.is_unpacked_in(folder));
    let (most, name_files) = match &cifar {
        Some(layout) if layout.label_bytes == 1 => (256, [CLASS_FILE, "batches.meta.txt"]),
        Some(_) => (256, [CLASS_FILE, "fine_label_names.txt"]),
        None if IdxFormat::MNIST.is_in(folder) => (256, [CLASS_FILE, CLASS_FILE]),
        None => return Ok(None),
    };
    let mut names: Vec<String> = Vec::new();
    if let Some(path) = name_files.iter().map(|name| folder.join(name)).find(|path| path.is_file()) {
        let text = text::read(&path)?;
        names = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(String::from).collect();
    }
    let counted = names.is_empty();
    if counted {
        names = (0..most).map(|number: usize| number.to_string()).collect();
    }
    let read = |names: Vec<String>| match &cifar {
        Some(layout) => layout.read(folder, names.into()),
        None => IdxFormat::MNIST.read(folder, names.into()),
    };
    let mut splits = read(names.clone())?;
    if counted {
        let highest = labels(splits.train.as_ref()).into_iter().max().unwrap_or(0);
        names.truncate(highest + 1);
        drop(splits); // the images are in memory
        splits = read(names.clone())?;
    }
    match options.classes.as_deref() {
        Some(expected) if *expected != *names => {
            Err(Error::OtherClasses { name: folder.display().to_string(), expected: expected.to_vec(), found: names })
        }
        _ => Ok(Some(splits)),
    }
}

/// The folder that is searched for datasets, one sub-folder each: `$TALLOW_CACHE`, or `~/.cache/tallow`. `None` without
/// a home directory.
pub fn cache_dir() -> Option<PathBuf> {
    match std::env::var_os("TALLOW_CACHE").filter(|dir| !dir.is_empty()) {
        Some(dir) => Some(dir.into()),
        None => std::env::home_dir().map(|home| home.join(".cache/tallow")),
    }
}

const FASHION: &str = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot";
const DIGITS: &str = "0,1,2,3,4,5,6,7,8,9";
/// EMNIST's merged classes: letters whose lower and upper case look alike are one class.
const MERGED: &str = "0,1,2,3,4,5,6,7,8,9,A,B,C,D,E,F,G,H,I,J,K,L,M,N,O,P,Q,R,S,T,U,V,W,X,Y,Z,\
                      a,b,d,e,f,g,h,n,q,r,t";
const BY_CLASS: &str = "0,1,2,3,4,5,6,7,8,9,A,B,C,D,E,F,G,H,I,J,K,L,M,N,O,P,Q,R,S,T,U,V,W,X,Y,Z,\
                        a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z";
/// EMNIST letters: upper and lower case are one class; torchvision's names.
const LETTERS: &str = "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z";

const CIFAR10: &str = "airplane,automobile,bird,cat,deer,dog,frog,horse,ship,truck";
const CIFAR100: &str = "apple,aquarium_fish,baby,bear,beaver,bed,bee,beetle,bicycle,bottle,bowl,boy,bridge,bus,\
    butterfly,camel,can,castle,caterpillar,cattle,chair,chimpanzee,clock,cloud,cockroach,\
    couch,crab,crocodile,cup,dinosaur,dolphin,elephant,flatfish,forest,fox,girl,hamster,house,\
    kangaroo,keyboard,lamp,lawn_mower,leopard,lion,lizard,lobster,man,maple_tree,motorcycle,\
    mountain,mouse,mushroom,oak_tree,orange,orchid,otter,palm_tree,pear,pickup_truck,\
    pine_tree,plain,plate,poppy,porcupine,possum,rabbit,raccoon,ray,road,rocket,rose,sea,seal,\
    shark,shrew,skunk,skyscraper,snail,snake,spider,squirrel,streetcar,sunflower,sweet_pepper,\
    table,tank,telephone,television,tiger,tractor,train,trout,tulip,turtle,wardrobe,whale,\
    willow_tree,wolf,woman,worm";

const NAMED: &[Named] = &[
    Named {
        name: "fashion-mnist-6k",
        classes: FASHION,
        reader: Reader::Bundled,
        also_in: &[],
        get_it: "it is part of Tallow",
    },
    Named {
        name: "fashion-mnist",
        classes: FASHION,
        reader: Reader::Idx(IdxFormat::MNIST),
        also_in: &["FashionMNIST/raw"],
        get_it: "apt-get install dataset-fashion-mnist, or put the four files of \
                 https://github.com/zalandoresearch/fashion-mnist in one of these places",
    },
    Named {
        name: "mnist",
        classes: DIGITS,
        reader: Reader::Idx(IdxFormat::MNIST),
        also_in: &["MNIST/raw"],
        get_it: "put the four files of https://ossci-datasets.s3.amazonaws.com/mnist/ \
                 (train-images-idx3-ubyte.gz, …) in one of these places",
    },
    Named {
        name: "kmnist",
        classes: "o,ki,su,tsu,na,ha,ma,ya,re,wo",
        reader: Reader::Idx(IdxFormat::MNIST),
        also_in: &["KMNIST/raw"],
        get_it: "put the four files of http://codh.rois.ac.jp/kmnist/ (train-images-idx3-ubyte.gz, …) in one of these \
                 places",
    },
    emnist("emnist-balanced", MERGED, ["emnist-balanced-train-", "emnist-balanced-test-"]),
    emnist("emnist-byclass", BY_CLASS, ["emnist-byclass-train-", "emnist-byclass-test-"]),
    emnist("emnist-bymerge", MERGED, ["emnist-bymerge-train-", "emnist-bymerge-test-"]),
    emnist("emnist-digits", DIGITS, ["emnist-digits-train-", "emnist-digits-test-"]),
    emnist("emnist-letters", LETTERS, ["emnist-letters-train-", "emnist-letters-test-"]),
    emnist("emnist-mnist", DIGITS, ["emnist-mnist-train-", "emnist-mnist-test-"]),
    Named {
        name: "cifar10",
        classes: CIFAR10,
        reader: Reader::Cifar(CifarFormat::CIFAR10),
        also_in: &["cifar-10-batches-bin"],
        get_it: "put https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz, or the files in it, \
                 in one of these places",
    },
    Named {
        name: "cifar100",
        classes: CIFAR100,
        reader: Reader::Cifar(CifarFormat::CIFAR100),
        also_in: &["cifar-100-binary"],
        get_it: "put https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz, or the files in it, \
                 in one of these places",
    },
];

const fn emnist(name: &'static str, classes: &'static str, prefixes: [&'static str; 2]) -> Named {
    Named {
        name,
        classes,
        reader: Reader::Idx(IdxFormat {
            prefixes,
            transposed: true,
            // Labels of the letters split start at 1, those of the others at 0.
            first_label: (classes.len() == LETTERS.len()) as u8,
        }),
        also_in: &["gzip", "EMNIST/raw"],
        get_it: "unpack gzip.zip of https://www.nist.gov/itl/products-and-services/emnist-dataset \
                 in one of these places",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_the_data_dir_then_the_cache_then_debian() {
        let places = find("fashion-mnist")
            .map(|named| named.places(Some(Path::new("/data")), Some(Path::new("/home/me/.cache/tallow"))));
        let expected = [
            "/data/fashion-mnist",
            "/data",
            "/data/FashionMNIST/raw",
            "/home/me/.cache/tallow/fashion-mnist",
            "/usr/share/datasets/fashion-mnist",
        ];
        assert_eq!(places, Some(expected.map(PathBuf::from).to_vec()));
    }

    #[test]
    fn every_dataset_has_its_number_of_classes() {
        let count = |name| find(name).map(|named| named.classes.split(',').count());
        for (name, classes) in [
            ("fashion-mnist-6k", 10),
            ("mnist", 10),
            ("emnist-balanced", 47),
            ("emnist-byclass", 62),
            ("emnist-bymerge", 47),
            ("emnist-digits", 10),
            ("emnist-letters", 26),
            ("emnist-mnist", 10),
            ("cifar10", 10),
            ("cifar100", 100),
        ] {
            assert_eq!(count(name), Some(classes), "{name}");
        }
    }

    #[test]
    fn only_emnist_letters_counts_from_one() {
        for named in NAMED {
            if let Reader::Idx(layout) = &named.reader {
                let expected = u8::from(named.name == "emnist-letters");
                assert_eq!(layout.first_label, expected, "{}", named.name);
            }
        }
    }
}
