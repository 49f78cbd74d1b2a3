// Connection strings are read as libpq reads them, and errors never show what they hold.
import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { TampError } from '../../src/core/errors.ts'
import { parseConnectionString } from '../../src/database/connection-string.ts'

const read = (text: string) => Object.fromEntries(parseConnectionString(text))

test.each<[string, Record<string, string>]>([
  ['postgresql://', {}],
  ['postgres://localhost', { host: 'localhost' }],
  ['postgresql://localhost:5433/mydb', { host: 'localhost', port: '5433', dbname: 'mydb' }],
  ['postgresql://user:sec%40ret@h/d', { user: 'user', password: 'sec@ret', host: 'h', dbname: 'd' }],
  [
    'postgresql://user@h?sslmode=require&application_name=a%20b',
    { user: 'user', host: 'h', sslmode: 'require', application_name: 'a b' },
  ],
  [
    'postgresql://h/d?connect_timeout=10&options=-csearch_path%3Da%2Cb',
    { host: 'h', dbname: 'd', connect_timeout: '10', options: '-csearch_path=a,b' },
  ],
  ['postgresql:///d?host=/var/run/postgresql&port=5440', { host: '/var/run/postgresql', port: '5440', dbname: 'd' }],
  ['postgresql://%2Fvar%2Frun%2Fpostgresql/d', { host: '/var/run/postgresql', dbname: 'd' }],
  ['postgresql://u@[2001:db8::1]:5433/d', { user: 'u', host: '2001:db8::1', port: '5433', dbname: 'd' }],
  ['postgresql://[::1]', { host: '::1' }],
  ['postgresql://h/d%2Fe%20f', { host: 'h', dbname: 'd/e f' }],
  ['postgresql://h/d?ssl=true', { host: 'h', dbname: 'd', sslmode: 'require' }],
  ['postgresql://h/d?password=x+y', { host: 'h', dbname: 'd', password: 'x+y' }],
  // What should have been encoded, where the meaning is beyond doubt.
  ['postgresql://u:p@ss@h/d', { user: 'u', password: 'p@ss', host: 'h', dbname: 'd' }],
  ['postgresql://u:p?s#s:w@h/d', { user: 'u', password: 'p?s#s:w', host: 'h', dbname: 'd' }],
  // An empty value is as good as none.
  ['postgresql://u:@h/', { user: 'u', host: 'h' }],
  // A host and a port, as far as syntax goes; the settings refuse it.
  ['postgresql://u:secret', { host: 'u', port: 'secret' }],
])('URL %s', (text, options) => {
  expect(read(text)).toEqual(options)
})

test.each<[string, Record<string, string>]>([
  ['host=localhost port=5432 dbname=mydb', { host: 'localhost', port: '5432', dbname: 'mydb' }],
  ['  host = h\n user\t=\tu ', { host: 'h', user: 'u' }],
  [`password='it\\'s \\\\ "it"' user=u`, { password: `it's \\ "it"`, user: 'u' }],
  ['password=a\\ b\\\\c user=u', { password: 'a b\\c', user: 'u' }],
  [`options='-c search_path=synapse,public' dbname=d`, { options: '-c search_path=synapse,public', dbname: 'd' }],
  ["password='' user=u", { user: 'u' }],
  // Blanks after the = belong to it, so this is a password, as in libpq.
  ['password= user=u', { password: 'user=u' }],
  ['user=u password = ', { user: 'u' }],
  ['host=a host=b', { host: 'b' }],
  ["password=it's user=u", { password: "it's", user: 'u' }],
])('key=value %s', (text, options) => {
  expect(read(text)).toEqual(options)
})

test.each([
  'postgresql://u:x/SECRET@h/d',
  'postgresql://u:x@SECRET/y@h/d',
  'postgresql://u:x@y?SECRET@h/d',
  'postgresql://u:x@y?SECRET=z@h/d',
  'postgresql://u:%zzSECRET@h/d',
  'postgresql://u:SECRET%00@h/d',
  'postgresql://u:SECRET@h/d?nonsense',
  'postgresql://u:SECRET@h/d?nonsense=1',
  'mysql://u:SECRET@h/d',
  'SECRET',
  '',
  '   ',
  'password=x SECRET',
  'password=x SECRET=y',
  "password='SECRET",
  "password='x'SECRET",
])('wrong: %s', (text) => {
  let error: unknown
  try {
    read(text)
  } catch (caught) {
    error = caught
  }
  expect(error).toBeInstanceOf(TampError)
  expect(error).toMatchObject({ code: 'usage', exitStatus: 2 })
  expect((error as TampError).hint).toBeTruthy()
  expect(inspect(error, { depth: 9, showHidden: true }).replace(/^ +at .*$/gm, '')).not.toContain('SECRET')
})

test('an unknown option is named, with a hint for search_path', () => {
  expect(() => read('postgresql://h/d?schema=x')).toThrow('unknown option "schema"')
  try {
    read('postgresql://h/d?schema=x')
  } catch (error) {
    expect((error as TampError).hint).toContain('search_path')
  }
})
