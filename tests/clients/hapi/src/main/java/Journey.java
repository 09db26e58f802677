import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.rest.api.EncodingEnum;
import ca.uhn.fhir.rest.api.MethodOutcome;
import ca.uhn.fhir.rest.client.api.IGenericClient;
import ca.uhn.fhir.rest.client.api.ServerValidationModeEnum;
import ca.uhn.fhir.rest.client.interceptor.BearerTokenAuthInterceptor;
import ca.uhn.fhir.rest.server.exceptions.PreconditionFailedException;
import ca.uhn.fhir.rest.server.exceptions.ResourceGoneException;
import java.util.ArrayList;
import java.util.List;
import org.hl7.fhir.r4.model.Bundle;
import org.hl7.fhir.r4.model.CapabilityStatement;
import org.hl7.fhir.r4.model.CodeType;
import org.hl7.fhir.r4.model.Enumerations.AdministrativeGender;
import org.hl7.fhir.r4.model.Parameters;
import org.hl7.fhir.r4.model.Patient;
import org.hl7.fhir.r4.model.StringType;

/** What an integration engine does with HAPI's generic client. Arguments: base URL, token, json or xml. */
public class Journey {
    static final String SYSTEM = "https://example.org/clients/hapi";

    public static void main(String[] arguments) {
        FhirContext context = FhirContext.forR4();
        context.getRestfulClientFactory().setServerValidationMode(ServerValidationModeEnum.ONCE);
        context.getRestfulClientFactory().setSocketTimeout(60_000);
        IGenericClient client = context.newRestfulGenericClient(arguments[0]);
        client.registerInterceptor(new BearerTokenAuthInterceptor(arguments[1]));
        client.setEncoding(arguments[2].equals("xml") ? EncodingEnum.XML : EncodingEnum.JSON);
        String run = arguments[2];

        CapabilityStatement stated = client.capabilities().ofType(CapabilityStatement.class).execute();
        same("fhirVersion", "4.0.1", stated.getFhirVersion().toCode());

        MethodOutcome created = client.create().resource(patient(run, 0)).execute();
        same("created", true, created.getCreated());
        String id = created.getId().getIdPart();
        same("version", "1", created.getId().getVersionIdPart());

        MethodOutcome again = client.create().resource(patient(run, 0))
            .conditional().where(Patient.IDENTIFIER.exactly().systemAndIdentifier(SYSTEM, run + "-0")).execute();
        same("conditional create finds", id, again.getId().getIdPart());

        Patient read = client.read().resource(Patient.class).withId(id).execute();
        same("family", "Fictional", read.getNameFirstRep().getFamily());

        read.setGender(AdministrativeGender.OTHER);
        MethodOutcome updated = client.update().resource(read).execute();
        same("updated", "2", updated.getId().getVersionIdPart());
        try {
            read.setGender(AdministrativeGender.MALE);
            client.update().resource(read).withAdditionalHeader("If-Match", "W/\"1\"").execute();
            throw new AssertionError("a stale update went through");
        } catch (PreconditionFailedException expected) {
            same("stale", 412, expected.getStatusCode());
        }

        client.patch().withBody("[{\"op\":\"replace\",\"path\":\"/gender\",\"value\":\"female\"}]").withId("Patient/" + id).execute();
        Parameters change = new Parameters();
        Parameters.ParametersParameterComponent operation = change.addParameter().setName("operation");
        operation.addPart().setName("type").setValue(new CodeType("replace"));
        operation.addPart().setName("path").setValue(new StringType("Patient.gender"));
        operation.addPart().setName("value").setValue(new CodeType("unknown"));
        client.patch().withFhirPatch(change).withId("Patient/" + id).execute();
        same("patched", AdministrativeGender.UNKNOWN, client.read().resource(Patient.class).withId(id).execute().getGender());
        same("vread", AdministrativeGender.OTHER, client.read().resource(Patient.class).withIdAndVersion(id, "2").execute().getGender());

        Bundle history = client.history().onInstance("Patient/" + id).returnBundle(Bundle.class).execute();
        same("history", 4, history.getEntry().size());

        Bundle sent = new Bundle().setType(Bundle.BundleType.TRANSACTION);
        for (int number = 1; number < 5; number++) {
            sent.addEntry().setFullUrl("urn:uuid:5c5b9a4e-31a4-4e3e-8a3e-0d6b6f7f000" + number).setResource(patient(run, number))
                .getRequest().setMethod(Bundle.HTTPVerb.POST).setUrl("Patient");
        }
        Bundle answered = client.transaction().withBundle(sent).execute();
        for (Bundle.BundleEntryComponent entry : answered.getEntry()) {
            same("entry", true, entry.getResponse().getStatus().startsWith("201"));
        }

        List<String> found = new ArrayList<>();
        Bundle page = client.search().forResource(Patient.class).where(Patient.FAMILY.matches().value("Fictional"))
            .and(Patient.IDENTIFIER.exactly().systemAndValues(SYSTEM, run + "-0", run + "-1", run + "-2", run + "-3", run + "-4"))
            .count(2).returnBundle(Bundle.class).execute();
        for (int pages = 1; ; pages++) {
            page.getEntry().forEach(entry -> found.add(entry.getResource().getIdElement().getIdPart()));
            if (page.getLink(Bundle.LINK_NEXT) == null) {
                same("pages", 3, pages);
                break;
            }
            page = client.loadPage().next(page).execute();
        }
        same("found", 5L, found.stream().distinct().count());

        Bundle posted = client.search().forResource(Patient.class).where(Patient.RES_ID.exactly().code(id))
            .usingStyle(ca.uhn.fhir.rest.api.SearchStyleEnum.POST).returnBundle(Bundle.class).execute();
        same("posted", 1, posted.getEntry().size());

        for (String one : found) {
            client.delete().resourceById("Patient", one).execute();
        }
        try {
            client.read().resource(Patient.class).withId(id).execute();
            throw new AssertionError("a deleted resource was read");
        } catch (ResourceGoneException expected) {
            same("gone", 410, expected.getStatusCode());
        }
        System.out.println("done");
    }

    static Patient patient(String run, int number) {
        Patient made = new Patient();
        made.addIdentifier().setSystem(SYSTEM).setValue(run + "-" + number);
        made.addName().setFamily("Fictional").addGiven("Hapi");
        return made;
    }

    static void same(String what, Object expected, Object found) {
        if (!expected.equals(found)) {
            throw new AssertionError(what + ": expected " + expected + ", found " + found);
        }
    }
}
