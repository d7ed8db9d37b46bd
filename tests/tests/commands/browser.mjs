// The page of a run in a real browser: node browser.mjs URL FOLDER CHROMIUM MODULES. Says `shown` when the
// page was looked at in every size and scheme, then what it says at the end of the run; whatever is wrong goes to
// standard error, and the exit code is 1.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const [url, folder, executablePath, modules] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const faults = [];
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });

async function open(colorScheme, width) {
  const context = await browser.newContext({
    colorScheme, viewport: { width, height: 844 }, timezoneId: "UTC", bypassCSP: false,
  });
  const page = await context.newPage();
  page.on("pageerror", (error) => faults.push(`${colorScheme} ${width}: ${error}`));
  page.on("request", (request) => {
    if (!request.url().startsWith(new URL(url).origin) && !request.url().startsWith("data:")) {
      faults.push(`asks elsewhere: ${request.url()}`);
    }
  });
  await page.goto(url);
  await page.waitForFunction(() => document.querySelectorAll("#dead tbody tr").length > 0
    && document.querySelectorAll(".chart").length > 1
    && document.querySelectorAll("#workers tbody tr").length >= 40);
  return page;
}

// Evaluated by the debugger, which the policy of the page does not hold for.
async function accessible(page, where) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  for (const { id, nodes } of violations) {
    faults.push(`${where}: ${id}: ${nodes.slice(0, 3).map((node) => node.html.slice(0, 150)).join(" ")}`);
  }
}

async function reachedByKeyboard(page) {
  const reached = new Set();
  for (let presses = 0; presses < 20; presses += 1) {
    await page.keyboard.press("Tab");
    reached.add(await page.evaluate(() => {
      const { tagName, ariaLabel, id } = document.activeElement;
      return ariaLabel ?? (id || tagName);
    }));
  }
  for (const wanted of ["SUMMARY", "table of the last dead letters", "text of the last lines", "json"]) {
    if (!reached.has(wanted)) faults.push(`by keyboard: no ${wanted} among ${[...reached]}`);
  }
}

let last;
for (const colorScheme of ["light", "dark"]) {
  for (const width of [1280, 390]) {
    const where = `${colorScheme}-${width}`;
    const page = await open(colorScheme, width);
    await page.screenshot({ path: `${folder}/${where}.png`, fullPage: true });
    await accessible(page, where);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (wide > 0) faults.push(`${where}: ${wide} pixels too wide`);
    if (colorScheme === "dark" && width === 390) last = page;
    else {
      if (width === 1280) await reachedByKeyboard(page);
      await page.context().close();
    }
  }
}
console.log("shown");
const ended = await last.waitForFunction(() => {
  const text = document.getElementById("connection").textContent;
  return (text.includes("has ended") || text.includes("no answer")) && text;
});
console.log(await ended.jsonValue());
await last.screenshot({ path: `${folder}/ended.png`, fullPage: true });
await accessible(last, "ended");
await browser.close();
for (const fault of faults) console.error(fault);
process.exitCode = faults.length === 0 ? 0 : 1;
