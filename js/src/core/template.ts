/** Fills in `$name` and `${name}` as Python's `string.Template.safe_substitute` does; `$$` is a dollar sign. */
export function substitute(template: string, values: Record<string, string>): string {
  return template.replace(/\$(?:(\$)|([_a-z][_a-z0-9]*)|\{([_a-z][_a-z0-9]*)\})/gi, (whole, dollar, name, braced) => {
    if (dollar) return "$";
    return values[name ?? braced] ?? whole;
  });
}
