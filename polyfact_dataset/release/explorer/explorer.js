// The explorer of a release. Labels are untrusted: every text enters the page through `textContent`.
"use strict";
(() => {
  const PAGE_SIZE = 50;
  const SLICE_MS = 30;
  const FOLD_MS = 8;
  const about = JSON.parse(document.getElementById("about").textContent);
  const byId = (id) => document.getElementById(id);
  const OPTION_COLUMNS = ["option_a", "option_b", "option_c", "option_d"];
  const names = Object.fromEntries(about.languages.map((language) => [language.code, language]));

  // ------------------------------------------------------------ building elements
  function element(tag, properties, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(properties || {})) {
      if (value === undefined || value === null || value === false) continue;
      if (name === "text") made.textContent = value;
      else if (name === "class") made.className = value;
      else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  }
  function link(text, url) {
    const safe = /^https:\/\//.test(url) ? url : "#";
    return element("a", { href: safe, target: "_blank", rel: "noopener noreferrer", text });
  }
  const entity = (id) => link(id, `https://www.wikidata.org/wiki/${encodeURIComponent(id)}`);
  const relation = (id) => link(id, `https://www.wikidata.org/wiki/Property:${encodeURIComponent(id)}`);
  const article = (id, wiki, text) =>
    link(text, `https://www.wikidata.org/wiki/Special:GoToLinkedPage/${encodeURIComponent(wiki)}/${encodeURIComponent(id)}`);

  // ------------------------------------------------------------ the embedded facts
  function decode(base64) {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    // A call for each character takes a second for a large release.
    for (let place = 0; place < text.length; place += 1) bytes[place] = text.charCodeAt(place);
    return bytes;
  }
  async function inflate(base64) {
    const bytes = decode(base64);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
  }
  // An item is [question, 4 options, answer, 4 ids, 4 provenances, subject, its provenance, source], as indices of texts.
  function unpack(payload) {
    const texts = payload.texts;
    folds.texts = texts;
    folds.folded = new Array(texts.length);
    folds.hits = new Uint8Array(texts.length);
    const order = new Map(about.languages.map((language, place) => [language.code, place]));
    return payload.facts.map((packed) => {
      const [id, split, property, tier, popularity, verification, attested, subjectIn, objectIn, wording, english, items] = packed;
      return {
        id, split: about.splits[split], property, tier, popularity, verification, attested, wording,
        articles: [subjectIn, objectIn], labels: english.map((place) => texts[place]),
        // Question and options, as indices of texts.
        searched: (code) => (items[order.get(code)] || []).slice(0, 5),
        item(code) {
          const row = items[order.get(code)];
          if (!row) return null;
          return {
            question: texts[row[0]], options: row.slice(1, 5).map((place) => texts[place]), answer: row[5],
            ids: row.slice(6, 10).map((place) => texts[place]), provenance: row.slice(10, 14).map((place) => texts[place]),
            subject: texts[row[14]], source: texts[row[16]],
          };
        },
      };
    });
  }
  // A parallel row read from a Parquet file, in the same shape.
  function fromRow(row, split) {
    return {
      id: row.fact_id, split, property: row.property_id, tier: row.quality_tier, popularity: row.popularity,
      verification: row.verification, attested: row.n_langs_attested, wording: row.wording ?? null,
      articles: [row.subject_articles || [], row.object_articles || []],
      labels: [row.subject, row.relation, row.object],
      item(code) {
        const item = (row.translations || {})[code];
        return item && {
          question: item.question, options: OPTION_COLUMNS.map((name) => item[name]), answer: item.answer_index,
          ids: item.option_ids, provenance: item.option_provenance, subject: item.subject_label, source: item.question_source,
        };
      },
    };
  }

  // ------------------------------------------------------------ train, by range requests
  const base = about.base || (location.protocol.startsWith("http") ? new URL(".", location.href).href : null);
  const opened = new Map();
  function open(path) {
    if (!opened.has(path)) {
      opened.set(path, (async () => {
        const file = Parquet.cachedAsyncBuffer(await Parquet.asyncBufferFromUrl({ url: new URL(path, base).href }));
        return { file, metadata: await Parquet.parquetMetadataAsync(file) };
      })());
    }
    return opened.get(path);
  }
  async function read(path, columns, rowStart, rowEnd) {
    const { file, metadata } = await open(path);
    return Parquet.parquetReadObjects({ file, metadata, columns, rowStart, rowEnd, compressors: Parquet.compressors });
  }
  async function* trainRows(code) {
    const columns = ["fact_id", "property_id", "question", ...OPTION_COLUMNS, "answer_text", "quality_tier", "popularity"];
    for (const path of about.train.flat[code] || []) {
      const { metadata } = await open(path);
      let start = 0;
      for (const group of metadata.row_groups) {
        const end = start + Number(group.num_rows);
        yield read(path, columns, start, end);
        start = end;
      }
    }
  }
  async function trainFact(id) {
    for (const path of about.train.parallel) {
      const ids = await read(path, ["fact_id"]);
      const place = ids.findIndex((row) => row.fact_id === id);
      if (place >= 0) return fromRow((await read(path, undefined, place, place + 1))[0], "train");
    }
    throw new Error(`${id} is not in train`);
  }

  // ------------------------------------------------------------ searching
  // Without case; without accents in alphabets, where they are often left out. Other scripts need their marks.
  const ASCII = /^[\x00-\x7f]*$/;
  const fold = (text) => (ASCII.test(text) ? text.toLowerCase() : text.normalize("NFKD").toLowerCase()
    .replace(/([\p{Script=Latin}\p{Script=Cyrillic}\p{Script=Greek}])\p{M}+/gu, "$1").normalize("NFC"));
  // Distinct texts, folded when they are first needed, and whether each has what is searched: 0 unknown, 1 no, 2 yes.
  const folds = { texts: [], folded: [], hits: new Uint8Array(0) };
  function has(place, folded) {
    if (!folds.hits[place]) folds.hits[place] = folds.foldedText(place).includes(folded) ? 2 : 1;
    return folds.hits[place] === 2;
  }
  folds.foldedText = (place) => (folds.folded[place] ??= fold(folds.texts[place]));
  // Folds all texts while the page waits for its user, so that the first search need not.
  async function foldAll() {
    for (let place = 0; place < folds.texts.length;) {
      const until = performance.now() + FOLD_MS;
      while (place < folds.texts.length && performance.now() < until) {
        for (const end = Math.min(place + 100, folds.texts.length); place < end; place += 1) folds.foldedText(place);
      }
      await pause();
    }
  }
  const isId = (text) => /^[QP]\d+(\|[QP]\d+)*$/i.test(text);
  function hasId(fact, id) {
    const item = fact.item(about.languages[0].code);
    return [fact.id, ...fact.id.split("|"), ...(item ? item.ids : [])].includes(id);
  }

  const state = { facts: [], shown: [], current: null, run: 0, limit: PAGE_SIZE };
  function wanted() {
    const value = (id) => byId(id).value;
    return {
      text: value("query").trim(), code: value("language"), property: value("relation"), split: value("split"),
      tier: value("tier"), popularity: Number(value("popularity") || 0), wording: value("wording"), finding: value("finding"),
    };
  }
  function passes(fact, filter) {
    if (filter.property && fact.property !== filter.property) return false;
    if (filter.split && fact.split !== filter.split) return false;
    if (filter.tier && fact.tier !== filter.tier) return false;
    if (fact.popularity < filter.popularity) return false;
    if (filter.wording && fact.wording !== filter.wording) return false;
    if (filter.finding === "errata") return Boolean(about.errata[fact.id]);
    if (filter.finding && !(about.findings[fact.id] || []).some((found) => found.check === filter.finding)) return false;
    return true;
  }
  function matches(fact, filter, folded) {
    if (!filter.text) return filter.code || about.languages[0].code;
    if (isId(filter.text)) return hasId(fact, filter.text.toUpperCase()) && (filter.code || about.languages[0].code);
    const codes = filter.code ? [filter.code] : about.languages.map((language) => language.code);
    return codes.find((code) => fact.searched(code).some((place) => has(place, folded))) || null;
  }

  const pause = () => new Promise((resolve) => setTimeout(resolve));
  async function search() {
    const run = ++state.run;
    const filter = wanted();
    const folded = fold(filter.text);
    folds.hits.fill(0);
    const list = byId("list");
    list.setAttribute("aria-busy", "true");
    list.replaceChildren();
    state.shown = [];
    let total = 0;
    let since = performance.now();
    const add = (fact, code) => {
      total += 1;
      if (state.shown.length < state.limit) {
        state.shown.push(fact);
        list.append(entry(fact, code));
      }
    };
    if (filter.split !== "train") {
      for (const fact of state.facts) {
        if (!passes(fact, filter)) continue;
        const code = matches(fact, filter, folded);
        if (code) add(fact, code);
        if (performance.now() - since > SLICE_MS) {
          status(total, true);
          await pause();
          if (run !== state.run) return;
          since = performance.now();
        }
      }
    } else if (base) {
      const failure = await searchTrain(run, filter, folded, add, () => status(total, true)).catch((error) => error);
      if (run !== state.run) return;
      if (failure) {
        byId("status").textContent = `train cannot be read: ${failure.message}`;
        return list.removeAttribute("aria-busy");
      }
    }
    status(total, false);
    list.removeAttribute("aria-busy");
  }
  async function searchTrain(run, filter, folded, add, report) {
    const code = filter.code || about.languages[0].code;
    const id = isId(filter.text) ? filter.text.toUpperCase() : null;
    for await (const rows of trainRows(code)) {
      if (run !== state.run) return;
      for (const row of rows) {
        const found = !filter.text || (id ? row.fact_id === id || row.fact_id.split("|").includes(id)
          : fold([row.question, ...OPTION_COLUMNS.map((name) => row[name])].join("\n")).includes(folded));
        const fact = found && trainEntry(row, code);
        if (fact && passes(fact, { ...filter, wording: "" })) add(fact, code);
      }
      report();
      await pause();
    }
  }
  function trainEntry(row, code) {
    const options = OPTION_COLUMNS.map((name) => row[name]);
    const item = { question: row.question, options, answer: options.indexOf(row.answer_text), ids: [], provenance: [] };
    return {
      id: row.fact_id, split: "train", property: row.property_id, tier: row.quality_tier, popularity: row.popularity,
      partial: true, item: (asked) => (asked === code ? item : null),
    };
  }

  // ------------------------------------------------------------ the list
  function status(total, searching) {
    const shown = state.shown.length < total ? `, ${state.shown.length} shown` : "";
    const unreachable = byId("split").value === "train" && !base;
    byId("status").textContent = unreachable
      ? `Train is read over HTTP: run "polyfact explore", which serves this page.`
      : `${total.toLocaleString("en")} facts${shown}${searching ? " …" : ""}`;
    byId("more").classList.toggle("hidden", searching || state.shown.length >= total);
  }
  function entry(fact, code) {
    const item = fact.item(code) || fact.item(about.languages[0].code);
    const language = names[code];
    return element("li", {}, element("button", { type: "button", "data-fact": fact.id, onclick: () => show(fact) },
      element("span", { class: "meta", text: `${about.relations[fact.property] || fact.property} · ${fact.split} · ${fact.tier}` }),
      element("span", { class: "question", lang: code, dir: language.direction }, ...asked(item)),
      element("span", { class: "answer", lang: code, dir: language.direction }, element("bdi", { text: item.options[item.answer] }))));
  }
  // The question with the subject's name isolated: a full stop after a Latin name stays there in Arabic text.
  function asked(item) {
    const at = item.subject ? item.question.indexOf(item.subject) : -1;
    if (at < 0) return [item.question];
    return [item.question.slice(0, at), element("bdi", { text: item.subject }), item.question.slice(at + item.subject.length)];
  }

  // ------------------------------------------------------------ one fact
  function card(fact, language) {
    const item = fact.item(language.code);
    if (!item) return null;
    const options = item.options.map((text, place) => element("li", { class: place === item.answer ? "gold" : null },
      element("bdi", { text: text }), place === item.answer ? " ✓" : "",
      element("small", {}, entity(item.ids[place]), ` ${item.provenance[place]}`)));
    return element("section", { class: "item", lang: language.code, dir: language.direction },
      element("h3", { text: `${language.name} (${language.code}) · ${item.source}` }),
      element("p", {}, ...asked(item)), element("ol", {}, ...options));
  }
  function articles(label, id, codes) {
    if (!codes.length) return null;
    const links = codes.flatMap((code) => [" ", article(id, names[code] ? names[code].wiki : `${code}wiki`, code)]);
    return element("p", { class: "articles" }, `Wikipedia on ${label}:`, ...links);
  }
  function report(fact) {
    const title = encodeURIComponent(`Error in ${fact.id}`);
    const text = encodeURIComponent(`Fact: ${fact.id}\nLanguage: \nWhat is wrong: \nSource: \nVersion: ${about.version}`);
    return link("Report an error in this fact", `${about.discussions}?title=${title}&description=${text}`);
  }
  async function show(fact) {
    const box = byId("fact");
    state.current = fact.id;
    document.body.classList.add("reading");
    for (const button of document.querySelectorAll("#list button")) {
      button.setAttribute("aria-current", String(button.dataset.fact === fact.id));
    }
    location.replace(`#${encodeURIComponent(fact.id)}`);
    if (fact.partial) {
      box.replaceChildren(element("p", { text: "Reading …" }));
      try {
        fact = await trainFact(fact.id);
      } catch (error) {
        box.replaceChildren(element("p", { class: "problem", text: error.message }));
        return;
      }
      if (state.current !== fact.id) return;
    }
    const [subjectId, propertyId, objectId] = fact.id.split("|");
    const [subject, label, object] = fact.labels;
    const findings = (about.findings[fact.id] || []).map((found) =>
      element("p", { class: "problem", text: `Audit: ${found.check}${found.language ? ` (${found.language})` : ""}: ${found.detail}` }));
    const errata = (about.errata[fact.id] || []).map((known) =>
      element("p", { class: "problem", text: `Known error${known.language ? ` (${known.language})` : ""}: ${known.reason}` }));
    const chips = [`split ${fact.split}`, `tier ${fact.tier}`, `${fact.popularity} ${fact.popularity === 1 ? "sitelink" : "sitelinks"}`, fact.verification,
      `answer attested in ${fact.attested} languages`, fact.wording && `wording ${fact.wording}`];
    box.replaceChildren(
      element("button", { class: "back", type: "button", text: "← Back to the list", onclick: back }),
      element("h2", {}, element("bdi", { text: subject }), ` — ${label} → `, element("bdi", { text: object })),
      element("p", { class: "id" }, entity(subjectId), " | ", relation(propertyId), " | ", entity(objectId), " · ", report(fact)),
      element("ul", { class: "chips" }, ...chips.filter(Boolean).map((text) => element("li", { text }))),
      ...errata, ...findings,
      articles("the subject", subjectId, fact.articles[0]), articles("the answer", objectId, fact.articles[1]),
      element("div", { class: "items" }, ...about.languages.map((language) => card(fact, language)).filter(Boolean)));
    box.scrollTop = 0;
    if (matchMedia("(max-width: 760px)").matches) scrollTo(0, 0);
  }
  function back() {
    document.body.classList.remove("reading");
    const button = document.querySelector(`#list button[aria-current="true"]`);
    if (button) button.focus();
  }

  // ------------------------------------------------------------ pages: audit and leaderboard
  function table(columns, rows, numeric) {
    const cells = (tag, values) => values.map((value, place) =>
      element(tag, { class: place >= numeric ? "number" : null }, value instanceof Node ? value : String(value ?? "–")));
    return element("table", {}, element("thead", {}, element("tr", {}, ...cells("th", columns))),
      element("tbody", {}, ...rows.map((row) => element("tr", {}, ...cells("td", row)))));
  }
  const percent = (value) => (value === null || value === undefined ? "–" : `${(100 * value).toFixed(1)} %`);
  function auditPage() {
    const counts = Object.entries(about.checks).map(([check, number]) =>
      [element("button", { type: "button", text: check, onclick: () => filterBy(check) }), number]);
    const gates = about.gates.map((gate) => [gate.gate, element("span", { class: gate.status === "not checked" ? null : gate.status,
      text: gate.status }), gate.reason, gate.value ?? "–", `${gate.at === "most" ? "≤" : "≥"} ${gate.limit}`]);
    return [element("h2", { text: about.passed ? "The audit passes" : "The audit refuses this release" }),
      element("p", {}, "Details: audit/report.html in the release."),
      element("h3", { text: "Accuracy of rules that know no fact" }),
      table(["rule", "accuracy", "95 % interval", "expected"],
        about.floors.map((floor) => [floor.takes, percent(floor.accuracy), floor.interval, percent(floor.expected)]), 1),
      ...(counts.length ? [element("h3", { text: "Findings" }), table(["check", "findings"], counts, 1)] : []),
      element("h3", { text: "Gates" }), table(["gate", "status", "reason", "value", "limit"], gates, 3)];
  }
  function leaderboardPage() {
    if (!about.leaderboard.length) return [element("p", { text: "This release has no results." })];
    return [element("h2", { text: "Leaderboard" }),
      table(["model", "accuracy", "95 % interval", "total consistency"],
        about.leaderboard.map((row) => [row.label, percent(row.accuracy), row.interval, row.consistency]), 1),
      element("p", {}, "With all measures and languages: leaderboard.html in the release.")];
  }
  function open_page(name) {
    for (const button of document.querySelectorAll("nav button")) {
      button.setAttribute("aria-selected", String(button.dataset.page === name));
    }
    const facts = name === "facts";
    for (const id of ["filters", "results", "fact"]) byId(id).classList.toggle("hidden", !facts);
    byId("page").classList.toggle("hidden", facts);
    if (!facts) byId("page").replaceChildren(...(name === "audit" ? auditPage() : leaderboardPage()));
  }
  function filterBy(check) {
    open_page("facts");
    byId("finding").value = check;
    restart();
  }

  // ------------------------------------------------------------ controls
  function options(id, entries) {
    byId(id).append(...entries.map(([value, text]) => element("option", { value, text })));
  }
  function wordings() {
    const property = byId("relation").value;
    const select = byId("wording");
    const found = new Set(state.facts.filter((fact) => !property || fact.property === property).map((fact) => fact.wording));
    select.replaceChildren(element("option", { value: "", text: "all" }));
    if (property) options("wording", [...found].filter(Boolean).sort().map((text) => [text, text]));
    select.disabled = !property;
  }
  function restart() {
    state.limit = PAGE_SIZE;
    document.body.classList.remove("reading");
    search();
  }
  function step(direction) {
    const buttons = [...document.querySelectorAll("#list button")];
    const place = buttons.findIndex((button) => button.getAttribute("aria-current") === "true");
    const next = buttons[Math.min(Math.max(place + direction, 0), buttons.length - 1)];
    if (next) {
      next.click();
      next.scrollIntoView({ block: "nearest" });
    }
  }
  function keys(event) {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key === "Escape") {
      if (typing) event.target.blur();
      else back();
    } else if (!typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      if (event.key === "/") { event.preventDefault(); byId("query").focus(); }
      else if (event.key === "j" || event.key === "ArrowDown") { event.preventDefault(); step(1); }
      else if (event.key === "k" || event.key === "ArrowUp") { event.preventDefault(); step(-1); }
    }
  }

  async function start() {
    options("language", about.languages.map((language) => [language.code, `${language.autonym} (${language.code})`]));
    options("relation", Object.entries(about.relations).map(([id, label]) => [id, `${label} (${id})`]));
    options("split", about.splits.map((split) => [split, split]));
    options("tier", about.tiers.map((tier) => [tier, tier]));
    options("finding", [["errata", "known errors"], ...Object.keys(about.checks).map((check) => [check, check])]);
    for (const button of document.querySelectorAll("nav button")) button.onclick = () => open_page(button.dataset.page);
    let waiting;
    byId("query").oninput = () => {
      state.run += 1; // ends a search for what was asked before
      byId("list").setAttribute("aria-busy", "true");
      clearTimeout(waiting);
      waiting = setTimeout(restart, 120);
    };
    byId("relation").onchange = () => { wordings(); restart(); };
    for (const id of ["language", "split", "tier", "popularity", "wording", "finding"]) byId(id).onchange = restart;
    byId("more").onclick = () => { state.limit += 4 * PAGE_SIZE; search(); };
    document.addEventListener("keydown", keys);
    // The first facts at once; a large release takes a second to unpack.
    state.facts = unpack(await inflate(byId("first").textContent.trim()));
    byId("list").append(...state.facts.map((fact) => entry(fact, about.languages[0].code)));
    await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
    state.facts = unpack(await inflate(byId("facts").textContent.trim()));
    wordings();
    await search();
    const asked = decodeURIComponent(location.hash.slice(1));
    const fact = state.facts.find((known) => known.id === asked);
    if (fact) show(fact);
    document.body.dataset.ready = "true";
    await foldAll();
  }
  start().catch((error) => { byId("status").textContent = `The facts cannot be read: ${error.message}`; throw error; });
})();
