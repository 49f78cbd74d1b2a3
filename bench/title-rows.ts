// A table of JSON events to measure with: rows like those of IMDB's title.basics, 217 bytes on average, the same ones for the same seed. Ids rise,
// words follow Zipf's law, episodes of a series come in runs, and the two titles of a row are mostly equal.
import type { Database } from 'better-sqlite3'

/** The table that `fillTitles` makes. */
export const titlesSchema = 'CREATE TABLE titles (id INTEGER PRIMARY KEY, data TEXT NOT NULL)'

/** `count` rows as JSON texts. */
export function* titleRows(count: number, seed = 1): Generator<string, void> {
  const next = random(seed)
  /** An integer below `end`. */
  const below = (end: number): number => Math.floor(next() * end)
  /** A rank below `end`; rank r as often as 1 / (r + 1). */
  const zipf = (end: number): number => Math.floor(Math.exp(next() * Math.log(end + 1))) - 1
  const words = vocabulary(next)

  const title = (): string => {
    let text = ''
    for (let left = 1 + below(3) + below(3); left > 0; left--)
      text += `${text === '' ? '' : ' '}${words[zipf(words.length)]!}`
    // Most titles have a rare word: a name.
    if (next() < 0.5) text += ` ${words[below(words.length)]!}`
    return text
  }
  const genresOf = (): string => {
    let text = genres[zipf(genres.length)]!
    for (let more = next() < 0.4 ? 0 : 1 + below(2); more > 0; more--) {
      const another = genres[zipf(genres.length)]!
      if (!text.includes(another)) text += `,${another}`
    }
    return text
  }

  let number = 0
  let series = { left: 0, season: 1, episode: 0, year: 2000, minutes: '30', genres: 'Comedy', numbered: true }
  for (let row = 0; row < count; row++) {
    number += 1 + (next() < 0.25 ? below(8) : 0)
    let type = 'tvEpisode'
    let primary: string
    let original: string
    let year: string
    let minutes: string
    let genresText: string
    if (series.left > 0) {
      series.left--
      series.episode++
      if (series.episode > 20 && next() < 0.2) {
        series.season++
        series.episode = 1
        series.year++
      }
      primary = series.numbered ? `Episode #${series.season}.${series.episode}` : title()
      original = primary
      year = String(series.year)
      minutes = series.minutes
      genresText = series.genres
    } else {
      type = types[zipf(types.length)]!
      primary = title()
      original = next() < 0.06 ? title() : primary
      year = next() < 0.06 ? String.raw`\\N` : String(2024 - zipf(130))
      minutes = next() < 0.6 ? String.raw`\\N` : String(next() < 0.5 ? 15 * (1 + below(8)) : 1 + zipf(180))
      genresText = genresOf()
      if (next() < 0.15)
        series = {
          left: 2 + zipf(60),
          season: 1 + below(4),
          episode: 0,
          year: 2024 - zipf(60),
          minutes: next() < 0.4 ? String.raw`\\N` : String(15 * (1 + below(6))),
          genres: genresText,
          numbered: next() < 0.47,
        }
    }
    const adult = type !== 'tvEpisode' && next() < 0.03 ? 1 : 0
    yield `{"tconst":"tt${String(number).padStart(7, '0')}","titleType":"${type}","primaryTitle":"${primary}","originalTitle":"${original}","isAdult":"${adult}","startYear":"${year}","endYear":"\\\\N","runtimeMinutes":"${minutes}","genres":"${genresText}"}`
  }
}

/** Makes the table `titles` and fills it. */
export function fillTitles(db: Database, count: number, seed = 1): void {
  db.exec(titlesSchema)
  const insert = db.prepare('INSERT INTO titles (data) VALUES (?)')
  db.transaction(() => {
    for (const data of titleRows(count, seed)) insert.run(data)
  })()
}

const types = 'tvEpisode short movie video tvSeries tvMovie tvMiniSeries tvSpecial videoGame tvShort'.split(' ')

const genres = (
  'Drama Comedy Documentary Short Talk-Show Romance Family News Reality-TV Animation Music Crime Action Adventure Game-Show ' +
  'Adult Sport Fantasy Mystery Horror Thriller History Biography Sci-Fi Musical War Western'
).split(' ')

function vocabulary(next: () => number): readonly string[] {
  const consonants = 'b c d f g h j k l m n p r s t v w z st tr ch br sh th gr'.split(' ')
  const vowels = 'a e i o u a e i o é ü ou ea'.split(' ')
  const ends = ['', '', 'n', 'r', 's', 'l', 't', 'nd', 'rk']
  const pick = (from: readonly string[]): string => from[Math.floor(next() * from.length)]!
  const words = [
    'The',
    'of',
    'and',
    'A',
    'in',
    'to',
    'de',
    'La',
    'Love',
    'Der',
    'I',
    'My',
    'on',
    'with',
    'for',
    'Part',
    'Night',
    'Man',
  ]
  while (words.length < 24_000) {
    let word = ''
    for (let syllables = 1 + Math.floor(next() * 3.2); syllables > 0; syllables--)
      word += pick(consonants) + pick(vowels)
    word += pick(ends)
    words.push(`${word[0]!.toUpperCase()}${word.slice(1)}`)
  }
  return words
}

/** mulberry32: numbers from 0 to below 1. */
function random(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
