DROP FUNCTION stylobate_is_platform();
DROP FUNCTION stylobate_tenant();
