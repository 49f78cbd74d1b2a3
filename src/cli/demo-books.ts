// The table of the SQLite demo: a library's catalogue as JSON, made up, and the same on every machine.
import type { SqliteDriver } from '../database/sqlite-driver.ts'

const schema = [
  `CREATE TABLE books (id INTEGER PRIMARY KEY, added TEXT NOT NULL DEFAULT '2024-01-01', data TEXT)`,
  `CREATE INDEX books_by_year ON books (data->>'year')`,
]

/** Makes the table `books` and fills it. */
export function fillBooks(driver: SqliteDriver, rows: number): void {
  const next = random(7)
  /** An index below `end`, small ones more often. */
  const rank = (end: number): number => Math.floor(end ** next()) - 1
  const pick = (list: readonly string[]): string => list[Math.floor(next() * list.length)]!
  driver.query('BEGIN')
  for (const statement of schema) driver.query(statement)
  for (let id = 1; id <= rows; id++) {
    const title = `${pick(adjectives)} ${nouns[rank(nouns.length)]!} of ${pick(nouns)} ${rank(400)}`
    const data = {
      isbn: `978${String(Math.floor(next() * 1e10)).padStart(10, '0')}`,
      title,
      author: { given: pick(givenNames), family: `${pick(syllables)}${pick(syllables)}${pick(endings)}` },
      year: String(1950 + Math.floor(75 * Math.sqrt(next()))),
      language: languages[rank(languages.length)],
      subjects: [pick(nouns), pick(nouns)].map((noun) => noun.toLowerCase()),
      pages: 40 + rank(900),
      available: next() < 0.8,
    }
    driver.query('INSERT INTO books (id, data) VALUES (?, ?)', [id, JSON.stringify(data)])
  }
  driver.query('COMMIT')
}

/** Numbers from 0 to 1, the same ones for the same seed (mulberry32). */
function random(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const words = (text: string): readonly string[] => text.split(' ')
const adjectives = words(
  'Silent Broken Golden Last Hidden Long Winter Distant Second Burning Small Northern Forgotten Blue',
)
const nouns = words(
  'House River City Garden Mountain Letter Island Winter Night Train Forest Mirror Bridge Harbour Song Library Ocean Window Market Clock',
)
const givenNames = words(
  'Ada Boris Clara Dino Edith Farid Greta Hugo Irena Jonas Kim Lena Mira Nils Olga Pavel Rosa Sven',
)
const syllables = words('bar den fal gor hel kan lor mir nor pel ros sal tar vel wen')
const endings = words('berg ova son ini ez er feld sen')
const languages = words('en de fr es it nl pl sv hu fi')
