//! Records in pages, in memory or on disk.

use arrangement::{Budget, Charge, Page};

/// Words of records, page by page.
pub(crate) struct Pages {
    pages: Vec<Words>,
    /// Words of a full page.
    words: usize,
    charge: Charge,
}

enum Words {
    Memory(Vec<i64>),
    Disk(Page),
}

impl Pages {
    /// No pages, of `words` words each.
    pub(crate) fn new(words: usize, budget: &Budget) -> Pages {
        Pages { pages: vec![], words, charge: budget.charge() }
    }

    /// Add a page of zeros: on disk if there is more in memory than should be.
    pub(crate) fn add(&mut self) {
        let budget = self.charge.budget();
        let page = if budget.is_over() { budget.page(self.words) } else { None };
        match page {
            Some(page) => self.pages.push(Words::Disk(page)),
            None => {
                self.charge.add(self.words * size_of::<i64>());
                self.pages.push(Words::Memory(vec![0; self.words]));
            }
        }
    }

    #[inline]
    pub(crate) fn page(&self, page: usize) -> &[i64] {
        match &self.pages[page] {
            Words::Memory(words) => words,
            Words::Disk(page) => page.words(),
        }
    }

    #[inline]
    pub(crate) fn page_mut(&mut self, page: usize) -> &mut [i64] {
        match &mut self.pages[page] {
            Words::Memory(words) => words,
            Words::Disk(page) => page.words_mut(),
        }
    }

    /// How many pages there are.
    pub(crate) fn len(&self) -> usize {
        self.pages.len()
    }

    /// No pages any more, of `words` words each from now on.
    pub(crate) fn clear(&mut self, words: usize) {
        self.pages.clear();
        self.words = words;
        self.charge.set(0);
    }

    /// These pages; none stay.
    pub(crate) fn take(&mut self) -> Pages {
        let budget = self.charge.budget().clone();
        std::mem::replace(self, Pages::new(self.words, &budget))
    }
}
