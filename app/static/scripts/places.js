// A set of whole numbers as parts [from, to], in order and apart: what is selected of ten thousand is some of them.
export class Places {
  #parts = [];

  get parts() { return this.#parts.length; }

  clear() { this.#parts = []; }

  has(at) { return this.covers(at, at); }

  covers(from, to) { return this.#parts.some(([first, last]) => first <= from && to <= last); }

  remove(from, to) {
    this.#parts = this.#parts.flatMap(([first, last]) => [[first, Math.min(last, from - 1)], [Math.max(first, to + 1), last]])
      .filter(([first, last]) => first <= last);
  }

  add(from, to) {
    this.remove(from, to);
    this.#parts = [...this.#parts, [from, to]].sort(([one], [other]) => one - other).reduce((joined, [first, last]) => {
      const before = joined.at(-1);
      if (before && before[1] + 1 === first) before[1] = last; else joined.push([first, last]);
      return joined;
    }, []);
  }

  // As a selection has it: `0-99,120`.
  toString() { return this.#parts.map(([first, last]) => (first === last ? first : `${first}-${last}`)).join(","); }
}
