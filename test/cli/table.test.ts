// Tables stay straight whatever script a name is in.
import { expect, test } from 'vitest'
import { table } from '../../src/cli/table.ts'

test('columns line up, with wide characters and combining marks in the names', () => {
  const columns = [
    { title: 'Bucket', align: 'left' },
    { title: 'Rows', align: 'right' },
  ] as const
  const lines = table(
    columns,
    [
      ['1#p["日本"]', '5'],
      ['1#p["e\u0301"]', '50'],
      ['1#p["plain"]', '500'],
    ],
    undefined,
  )
  expect(lines).toEqual(['Bucket        Rows', '1#p["日本"]      5', '1#p["e\u0301"]        50', '1#p["plain"]   500'])
})
