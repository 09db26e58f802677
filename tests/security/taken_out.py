"""The defences, in the order of the attacks: a piece of source that stands once in its file, and what is there without it."""

from __future__ import annotations

from tests.security.attacks import Defence

DEFENCES: tuple[Defence, ...] = (
    Defence(
        (1,),
        "app/rest/authenticate.py",
        '    if scheme.lower() != "bearer" or not token.strip():\n',
        '    if scheme.lower() != "bearer" or not token.strip():\n'
        '        return Subject("anyone", "steward", "ods:ZZZ", scopes=("system/*.cruds",))\n'
        "    if not scheme:\n",
        quick=True,
    ),
    Defence((2,), "app/smart/jose.py", "        jwt.decode(token, key, registry=registry)\n", "        pass\n"),
    Defence(
        (3,),
        "app/smart/jose.py",
        '    key = _chosen(keys, header.get("kid"))\n',
        '    brought = key_set({"keys": [header.get("jwk")]})\n    key = brought[0] if brought else _chosen(keys, header.get("kid"))\n',
    ),
    Defence(
        (4,),
        "app/smart/jose.py",
        '    if len(found) != 1:\n        raise BadToken("the token\'s key is not known here")\n    return found[0]\n',
        "    return (found or list(keys))[0]\n",
    ),
    Defence(
        (5,),
        "app/smart/tokens.py",
        'return claims.get("iss") == self.settings.origin and claims.get("aud") == self.settings.base_url',
        "return True",
        quick=True,
    ),
    Defence((6,), "app/smart/jose.py", "max(begins, issued) > now + SKEW_SECONDS", "issued is None"),
    Defence((7,), "app/smart/jose.py", "    if len(found) != len(pairs):\n", "    if not pairs:\n"),
    Defence(
        (8,),
        "app/smart/tokens.py",
        "return None if epoch is None else replace(subject, epoch=epoch)",
        "return replace(subject, epoch=epoch or 0)",
    ),
    Defence(
        (9,),
        "app/smart/assertions.py",
        '    if claims.get("iss") != client.id or claims.get("sub") != client.id:\n',
        '    if claims.get("iss") != client.id:\n',
    ),
    Defence(
        (10,),
        "app/smart/authorize.py",
        'if method != "S256" or not _CHALLENGE.match(challenge):',
        "if challenge and not _CHALLENGE.match(challenge):",
    ),
    Defence(
        (11,),
        "app/smart/authorize.py",
        "address not in client.redirect_uris.split()",
        "not any(address.startswith(one[:16]) for one in client.redirect_uris.split())",
    ),
    Defence(
        (12,), "app/smart/authorize.py", 'if given.get("aud", "").rstrip("/") != base_url:', 'if "aud" not in given:'
    ),
    Defence(
        (13,),
        "app/smart/approvals.py",
        "    if scopes.faults(asked) or not scopes.covered(asked, approved.scope):\n",
        "    if scopes.faults(asked):\n",
    ),
    Defence((14,), "app/smart/launches.py", "    if found.user != person.id:\n", "    if not found.user:\n"),
    Defence(
        (15,),
        "app/smart/person.py",
        "    return client.organisation == person.organisation or client.organisation in people.above(tx, person.organisation)\n",
        "    return True\n",
    ),
    Defence(
        (16,),
        "app/access/scopes.py",
        'any(scope.context != "patient" or subject.patient is not None for scope in reaching)',
        "any(True for _ in reaching)",
    ),
    Defence(
        (17,),
        "app/access/scopes.py",
        "\\.(read|write|\\*|c?r?u?d?s?)(?:",
        "\\.(read|write|\\*|[cruds]+)(?:",
        quick=True,
    ),
    Defence(
        (18,),
        "app/access/scopes.py",
        "    if not plain or len(parsed.where) != len(pairs):\n",
        "    if not parsed.where:\n",
    ),
    Defence(
        (19,),
        "app/storage/predicate.py",
        "    if type_name not in grant.within:\n        return permitted\n",
        "    return permitted\n",
    ),
    Defence((20,), "app/access/scopes.py", '    "search-type": "s",\n', '    "search-type": "r",\n'),
    Defence(
        (21,),
        "app/access/scopes.py",
        "return Slice(None if type_name in _OF_NOBODY else patient, scope.where)",
        "return Slice(None, scope.where)",
    ),
    Defence(
        (22,),
        "app/access/scopes.py",
        "    if not allows(subject, type_name, interaction):\n",
        "    if not subject.scopes:\n",
    ),
    Defence(
        (23, 25),
        "app/storage/resources.py",
        'WHERE i.type = ? AND i.id = ? AND {shown.text}"',
        'WHERE i.type = ? AND i.id = ? AND ({shown.text} OR TRUE)"',
        quick=True,
    ),
    Defence(
        (24,),
        "app/storage/resources.py",
        'WHERE h.rid = ? AND h.version = ? AND {shown.text}"',
        'WHERE h.rid = ? AND h.version = ? AND ({shown.text} OR TRUE)"',
    ),
    Defence(
        (26,),
        "app/access/enforcement.py",
        "{name: (OwnedBy(tree),) for name in TYPES}",
        "{name: (Everything(),) for name in TYPES}",
    ),
    Defence(
        (27,),
        "app/access/enforcement.py",
        'return subject.kind == "steward" or TYPES[type_name].visibility != "study"',
        "return True",
    ),
    Defence(
        (50,),
        "app/access/ownership.py",
        "    if owner not in tree or (current is not None and current.owner not in tree):\n",
        "    if owner is None:\n",
    ),
    Defence(
        (28,),
        "app/access/ownership.py",
        "    if owner not in tree or (current is not None and current.owner not in tree):\n",
        "    if owner is None:\n",
        also=Defence(
            (28,),
            "app/access/enforcement.py",
            "{name: (OwnedBy(tree),) for name in TYPES}",
            "{name: (Everything(),) for name in TYPES}",
        ),
    ),
    Defence(
        (29,),
        "app/access/enforcement.py",
        "(own, EndpointsOf(locate)) if locate != Studies() else (own,)",
        "(Everything(),)",
    ),
    Defence(
        (30,),
        "app/policy/redaction.py",
        '"ImagingStudy": ("id", "status", "subject", "started", "modality"),',
        '"ImagingStudy": ("id", "status", "subject", "started", "modality", "contained"),',
    ),
    Defence((31,), "app/storage/predicate.py", '    if type_name != "DiagnosticReport":\n', "    if type_name:\n"),
    Defence(
        (32,),
        "app/storage/search.py",
        'counted = "SELECT count(*) FROM resource r WHERE " + where',
        'counted = "SELECT count(*) FROM resource r WHERE " + all_of(["(" + one + ")" for one in conditions[:-1]])',
        quick=True,
    ),
    Defence(
        (33, 38, 39, 40, 41, 42, 43, 45, 47, 48),
        "app/storage/search.py",
        '        visible(tx, grant, query.type, "r"),\n    ]\n',
        "        TRUE,\n    ]\n",
    ),
    Defence(
        (34,),
        "app/storage/search.py",
        'shown = within(tx, grant, name, "t") if decided else visible(tx, grant, name, "t")',
        "shown = TRUE",
    ),
    Defence(
        (35,),
        "app/access/enforcement.py",
        "(own, *about) if permissions.reads_privacy(subject) else ()",
        "(Everything(),)",
    ),
    Defence((36,), "app/storage/conditions.py", "                shown(self.tx, self.grant, chain.target, t),\n", ""),
    Defence((37,), "app/storage/conditions.py", "visible(self.tx, self.grant, has.type, s)", 'sql("TRUE")'),
    Defence((44,), "app/interactions/paging.py", "    if bound != _bound(asked, scope):\n", "    if not bound:\n"),
    Defence(
        (46,),
        "app/interactions/everything.py",
        'granted = services.enforcement.permit(tx, asked.subject, "search-type", types[place], query=query)',
        'granted = services.enforcement.for_deciding(tx, "EVERYTHING", *TYPES)',
    ),
    Defence(
        (49,),
        "app/access/permissions.py",
        "    if subject.practitioner is not None or subject.patient is not None or subject.kind not in WRITERS:\n",
        "    if subject.kind not in WRITERS:\n",
    ),
    Defence(
        (51,),
        "app/access/ownership.py",
        '        if not _cared_for(resource, cares):\n            raise Fault(\n                "forbidden",\n                "this CareTeam',
        '        if resource is None:\n            raise Fault(\n                "forbidden",\n                "this CareTeam',
    ),
    Defence(
        (52, 53),
        "app/access/ownership.py",
        '    if changed or after.get("status") not in steps:\n',
        '    if after.get("status") not in steps:\n',
    ),
    Defence(
        (54,),
        "app/policy/directive.py",
        '    if value != "permit" and value != "deny":\n',
        "    if not value:\n",
        quick=True,
    ),
    Defence(
        (55,),
        "app/policy/criteria.py",
        '    text = reference.get("reference")\n    if isinstance(text, str) and text.startswith("#"):\n',
        '    text = reference.get("reference")\n    __import__("socket").getaddrinfo("elsewhere.example", 443)\n    if isinstance(text, str) and text.startswith("#"):\n',
    ),
    Defence(
        (56,), "app/policy/rules.py", "    if not facts.breaks_glass or facts.grant is not None:\n", "    if facts:\n"
    ),
    Defence((57,), "app/policy/emergency.py", "        and asker.practitioner == one.practitioner\n", ""),
    Defence((59,), "app/policy/rules.py", "    if person.link_error:\n", "    if person is None:\n"),
    Defence(
        (60, 63),
        "app/interactions/notifying.py",
        'grant = enforcement.permit(tx, subject, "read", type_name, id=notice.focus)',
        'grant = enforcement.for_deciding(tx, "SENT", type_name)',
    ),
    Defence(
        (61,),
        "app/policy/criteria.py",
        'high = interval(stated["end"], zone)[1]',
        'high = interval(stated["end"], zone)[0]',
    ),
    Defence(
        (62,), "app/policy/organisation.py", '    code = (value or "").strip().upper()\n', '    code = value or ""\n'
    ),
    Defence(
        (64,),
        "app/notifications/endpoint.py",
        "if not (address.is_global and not address.is_multicast) and not (local and address.is_loopback):",
        "if address.is_unspecified:",
    ),
    Defence((65,), "app/interactions/endpoint_hosts.py", "    if host not in (listed or ()):\n", "    if not host:\n"),
    Defence(
        (66,),
        "app/config.py",
        "    if told is None or (parts.scheme, parts.hostname) != (told.scheme, told.hostname):\n",
        '    if told is None or not (parts.hostname or "").startswith(told.hostname or ""):\n',
    ),
    Defence(
        (67,),
        "app/fhir/subscription.py",
        "        elif found[1].lower() in RESERVED:\n",
        '        elif found[1].lower() == "host":\n',
    ),
    Defence(
        (68,),
        "app/storage/subscriptions.py",
        '        f"UPDATE notification SET state = {DEAD}, settled = ? WHERE subscription = ? AND state = {PENDING}", tx.at, rid\n',
        "        f\"UPDATE notification SET state = {DEAD}, settled = ?, focus = focus || ' 9990000018' WHERE subscription = ? AND state = {PENDING}\", tx.at, rid\n",
    ),
    Defence(
        (69, 70),
        "app/rest/negotiate.py",
        "    content = answer.body\n    kind = negotiation.JSON\n",
        '    if "respond-async" in request.headers.get("Prefer", ""):\n        return Response(b"", 202, {"Content-Location": f"{request.url}/job/1"})\n    content = answer.body\n    kind = negotiation.JSON\n',
    ),
    Defence(
        (71,),
        "app/fhir/search_values.py",
        '            "a value that is not a date: expected YYYY,',
        '            f"{text} is a value that is not a date: expected YYYY,',
    ),
    Defence(
        (72,),
        "app/access/enforcement.py",
        "        if type_name in permissions.PRIVACY_TYPES and not (\n",
        "        if not type_name and not (\n",
    ),
    Defence(
        (73,),
        "app/__init__.py",
        '        route = request.url_rule.rule if request.url_rule else "unknown"\n',
        "        route = request.full_path\n",
    ),
    Defence(
        (74,),
        "app/access/audit.py",
        "    audit.write(tx, entries)\n",
        "    pass\n",
    ),
    Defence((75,), "app/pages.py", '        validate_csrf(request.form.get("csrf_token"))\n', "        pass\n"),
    Defence((76,), "app/fhir/lossless.py", "    if _deeper_than(body, max_depth):\n", "    if not body:\n"),
    Defence(
        (77,),
        "app/storage/conditions.py",
        '    begins = sql(f"{x}.norm >= ? AND {x}.norm < ?", start[:SHORT], start[:SHORT] + "\\U0010ffff")\n',
        "    begins = Sql(f\"{x}.norm >= '{text.lower()}' AND {x}.norm < '{text.lower()}z'\")\n",
    ),
    Defence(
        (78,),
        "app/rest/negotiate.py",
        'address=request.remote_addr or ""',
        'address=request.headers.get("X-Forwarded-For") or request.remote_addr or ""',
    ),
    Defence(
        (79,), "app/smart/cors.py", "            if not origins.allowed(origin):\n                return response\n", ""
    ),
    Defence(
        (80,),
        "app/access/information.py",
        "        if number == self.number:\n            return self\n",
        "        if self.number >= 0:\n            return self\n",
    ),
    Defence(
        (81,),
        "app/smart/tokens.py",
        "        mark = hashed(token)\n        subject = self.seen",
        "        mark = hashed(token[:80])\n        subject = self.seen",
    ),
    Defence(
        (84,),
        "app/archives/authzen.py",
        "        if not same or any(stated.get(name) != value for name, value in properties.items()):\n",
        "        if not said:\n",
    ),
)
