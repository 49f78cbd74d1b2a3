// A recovered key is proven by the hash that the storage keeps of it; what does not hash to it is not taken.
import { Long, serialize } from 'bson'
import { describe, expect, test } from 'vitest'
import { recoverKey } from '../../../../src/powersync/defragment/touch/source-key.ts'
import type { KeyColumn, StoredRow } from '../../../../src/powersync/defragment/touch/source-key.ts'
import { uuid5 } from '../../../support/powersync/operations.ts'

const text = 25
const int8 = 20

function stored(key: Record<string, unknown>, row: Partial<StoredRow>): StoredRow {
  const sourceKey = serialize({ id: uuid5(serialize(key)) })
  return { sourceKey, sourceRow: serialize({}), put: null, rowId: 'somebody else', ...row }
}
const column = (name: string, typeOid: number | null): KeyColumn => ({ name, typeOid })

test('the hash of the field notes: org, project and user', () => {
  const key = { org: 'acme', project: 'core', user_id: 'user-001' }
  expect(uuid5(serialize(key)).toHexString()).toBe('28bf5190-357d-549b-b55d-d070cd60c902')
  const columns = Object.keys(key).map((name) => column(name, text))
  expect(recoverKey(columns, stored(key, { sourceRow: serialize({ ...key, role: 'member' }) }))).toEqual([
    'acme',
    'core',
    'user-001',
  ])
})

describe('of one column', () => {
  test('from the source row, whatever clients call the row', () => {
    const row = stored(
      { nr: Long.fromString('9007199254740993') },
      {
        sourceRow: serialize({ nr: Long.fromString('9007199254740993'), name: 'x' }),
      },
    )
    expect(recoverKey([column('nr', int8)], row)).toEqual(['9007199254740993'])
  })

  test('from what clients see, exactly, where the storage keeps no source row', () => {
    const row = stored({ nr: Long.fromString('9007199254740993') }, { put: '{"id":"x","nr":9007199254740993}' })
    expect(recoverKey([column('nr', int8)], row)).toEqual(['9007199254740993'])
  })

  test('from the id that clients know it by', () => {
    expect(recoverKey([column('uuid', text)], stored({ uuid: "it's" }, { rowId: "it's", put: '{"id":"x"}' }))).toEqual([
      "it's",
    ])
    expect(recoverKey([column('nr', int8)], stored({ nr: Long.fromInt(-7) }, { rowId: '-7' }))).toEqual(['-7'])
  })

  test('not at all where nothing hashes to it', () => {
    const row = { sourceRow: serialize({ id: 'other' }), put: '{"id":"third"}', rowId: 'fourth' }
    expect(recoverKey([column('id', text)], stored({ id: 'first' }, row))).toBeNull()
    // A number is not the text of its digits.
    expect(recoverKey([column('id', text)], stored({ id: Long.fromInt(7) }, { rowId: '7' }))).toBeNull()
  })
})

test('a whole row as the key: booleans, bytes, floats and NULL as PostgreSQL writes them', () => {
  const key = { id: 'r', done: Long.fromInt(1), rating: 1.5, whole: 3, note: null, blob: Buffer.from([0, 255]) }
  const columns = [
    column('id', text),
    column('done', 16),
    column('rating', 701),
    column('whole', 701),
    column('note', text),
    column('blob', 17),
  ]
  expect(recoverKey(columns, stored(key, { sourceRow: serialize(key) }))).toEqual([
    'r',
    'true',
    '1.5',
    '3',
    null,
    '\\x00ff',
  ])
  const { blob, ...plain } = key
  expect(blob).toHaveLength(2)
  const put = '{"id":"r","done":1,"rating":1.5,"whole":3.0,"note":null}'
  expect(recoverKey(columns.slice(0, 5), stored(plain, { put }))).toEqual(['r', 'true', '1.5', '3', null])
  // Bytes are not in what clients see.
  expect(recoverKey(columns, stored(key, { put }))).toBeNull()
})

test('keys that are no hash, as of other databases, and tables without a key are left', () => {
  expect(
    recoverKey([column('id', text)], {
      sourceKey: serialize({ id: 'plain' }),
      sourceRow: null,
      put: null,
      rowId: 'plain',
    }),
  ).toBeNull()
  expect(recoverKey([], stored({}, {}))).toBeNull()
})
