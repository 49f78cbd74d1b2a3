// JSON texts that a dictionary does well on, and bytes that nothing does well on.
import { seeded } from '../synapse/random.ts'

const words =
  'quick brown fox lazy dog river mountain harbour window station letter garden evening summer signal'.split(' ')
const otherWords = 'Vertrag Rechnung Lieferung Zahlung Mahnung Kunde Bestellung Artikel Rabatt Versand'.split(' ')

export function jsonText(id: number, kind: 'event' | 'invoice' = 'event'): string {
  const random = seeded(id * 31 + (kind === 'event' ? 1 : 2))
  if (kind === 'invoice')
    return JSON.stringify({
      rechnungsnummer: `RG-${random.below(1_000_000)}`,
      positionen: [random.pick(otherWords), random.pick(otherWords), random.pick(otherWords)],
      betrag: random.below(100_000) / 100,
      waehrung: 'EUR',
      bezahlt: random.chance(0.5),
      anschrift: {
        strasse: `${random.pick(otherWords)}straße ${random.below(200)}`,
        plz: 10_000 + random.below(80_000),
      },
    })
  return JSON.stringify({
    tconst: `tt${1_000_000 + id}`,
    titleType: random.pick(['movie', 'short', 'tvEpisode', 'tvSeries']),
    primaryTitle: `${random.pick(words)} ${random.pick(words)} ${random.below(500)}`,
    originalTitle: random.pick(words),
    isAdult: '0',
    startYear: String(1920 + random.below(100)),
    runtimeMinutes: random.below(180),
    genres: ['Drama', 'Comedy'].slice(0, 1 + random.below(2)),
  })
}

/** Bytes without any order. */
export function noise(id: number, bytes = 200): Buffer {
  const random = seeded(id)
  return Buffer.from(Array.from({ length: bytes }, () => random.below(256)))
}
