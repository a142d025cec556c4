<?xml version="1.0"?>
<!-- Sorts, groups and counts the records of a long document, and writes a page of them. -->
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
  <xsl:output method="html" indent="yes"/>
  <xsl:key name="place" match="record" use="place"/>

  <xsl:template match="/records">
    <html>
      <body>
        <xsl:for-each select="record[generate-id() = generate-id(key('place', place)[1])]">
          <xsl:sort select="place"/>
          <h1><xsl:value-of select="place"/>: <xsl:value-of select="count(key('place', place))"/></h1>
          <table>
            <xsl:apply-templates select="key('place', place)">
              <xsl:sort select="@price" data-type="number"/>
            </xsl:apply-templates>
          </table>
        </xsl:for-each>
      </body>
    </html>
  </xsl:template>

  <xsl:template match="record">
    <tr>
      <td><xsl:value-of select="@number"/></td>
      <td><xsl:value-of select="concat(name, ', ', translate(place, 'abcdef', 'ABCDEF'))"/></td>
      <td><xsl:for-each select="part"><xsl:value-of select="."/>; </xsl:for-each></td>
    </tr>
  </xsl:template>
</xsl:stylesheet>
