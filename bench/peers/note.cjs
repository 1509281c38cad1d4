// The same payload as bench/fill.py.
exports.note = (number) => ({
  n: number,
  to: 'ada@example.org',
  subject: 'The engine',
  text: 'It might act upon other things besides number.',
});
