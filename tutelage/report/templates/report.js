"use strict";
(function () {
  const texts = document.getElementById("texts"), review = document.getElementById("review-price");
  if (!texts || !review) return;

  function digits(value, places) {
    return value.toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places });
  }
  function two(value) {
    let places = 1;
    while (value < 10 ** (1 - places) && places < 12) places += 1;
    return value.toFixed(places);
  }
  function three(value) {
    if (value >= 100) return digits(value, 0);
    return value >= 10 ? value.toFixed(1) : value >= 0.1 || value === 0 ? value.toFixed(2) : two(value);
  }
  function dollars(value) {
    const sign = value < 0 ? "\u2212" : "", size = Math.abs(value);
    if (size >= 100) return sign + "$" + digits(size, 0);
    return sign + "$" + (size >= 0.01 || size === 0 ? size.toFixed(2) : two(size));
  }
  const units = {
    seconds: [[172800, 86400, "days"], [7200, 3600, "hours"], [120, 60, "minutes"], [0.1, 1, "s"], [0, 0.001, "ms"]],
    kg: [[10000, 1000, "t"], [0.1, 1, "kg"], [0, 0.001, "g"]],
  };
  function amount(what, low, high) {
    let ends = [dollars(low), dollars(high)], unit = "";
    if (what !== "usd") {
      const [, size, name] = units[what].find(([least]) => high >= least);
      ends = [three(low / size), three(high / size)];
      unit = " " + name;
    }
    return (ends[0] === ends[1] ? ends[0] : ends[0] + " to " + ends[1]) + unit;
  }
  function rounded(value) {
    const size = 10 ** Math.max(0, String(Math.trunc(value)).length - 2);
    return digits(Math.round(value / size) * size, 0);
  }

  function number(input, least) {
    const value = Number(input.value);
    return input.value.trim() !== "" && Number.isFinite(value) && value >= least ? value : null;
  }
  function compute() {
    const n = number(texts, 1), price = number(review, 0);
    if (n === null || price === null) return;
    for (const cell of document.querySelectorAll("[data-what]")) {
      const data = cell.dataset, fixed = Number(data.fixed || 0) + Number(data.reviews || 0) * price;
      cell.textContent = data.what === "even"
        ? rounded(Math.trunc(fixed / Number(data.low)) + 1)
        : amount(data.what, n * Number(data.low) + fixed, n * Number(data.high) + fixed);
    }
    for (const cell of document.querySelectorAll("[data-size]")) cell.textContent = digits(n, 0);
  }
  for (const input of [texts, review]) input.addEventListener("input", compute);
  document.getElementById("inputs").hidden = false;
  compute();
})();
