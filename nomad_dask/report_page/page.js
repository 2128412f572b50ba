"use strict";
(() => {
  const search = document.getElementById("search");
  const limit = Number(search.dataset.limit);
  const found = document.getElementById("found");
  const table = document.querySelector("table.columns");
  const rows = Array.from(table.tBodies[0].rows);
  const texts = rows.map((row) => {
    const cells = Array.from(row.cells).slice(0, -2);
    return [...cells.map((cell) => cell.textContent), row.querySelector("th").title].join(" ").toLowerCase();
  });
  const update = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    table.classList.toggle("searched", words.length > 0);
    let n = 0;
    rows.forEach((row, i) => {
      const hit = words.length > 0 && words.every((word) => texts[i].includes(word));
      n += hit ? 1 : 0;
      row.classList.toggle("hit", hit && n <= limit);
    });
    if (words.length === 0) found.textContent = "";
    else if (n === 0) found.textContent = "no matching columns";
    else found.textContent = n > limit ? `${n} columns, first ${limit} shown` : n === 1 ? "1 column" : `${n} columns`;
  };
  search.addEventListener("input", update);
  document.getElementById("searching").hidden = false;
})();
